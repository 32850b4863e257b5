# SPDX-License-Identifier: BSD-3-Clause
"""Which changes a store or a server knows of: a server that lags is not one that says no.

Servers that replicate from one another mark each change with the ID of the server that it was
made on and with a number that grows, its CSN, and hand on the changes of one server in their
order.  So the newest CSN of each server says which changes are known: OpenLDAP's contextCSN,
which its cookies repeat, and 389-ds's replica update vector (RUV, ``nsds50ruv``).
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ..exceptions import StoreInvalid
from . import cookie

# Compiled when they are first used.
_RUV = rb"\{replica ([0-9]+)[^}]*\} [0-9a-f]+ ([0-9a-f]{20})"
_GENERATION = rb"\{replicageneration\} ([0-9a-f]+)"
_WORDS = Mapping[str, str]
_NOTHING: _WORDS = {}


class Knowledge(NamedTuple):
    """What is known.

    Attributes:
        changes: the newest CSN by the ID of the server that made the change; empty where that
            can't be told.
        data: what tells these data from others that may be loaded in their place; parts that
            can't be told are not there.
        server: what the server calls itself; None where it makes no difference, or can't be told.
    """

    changes: _WORDS = _NOTHING
    data: _WORDS = _NOTHING
    server: Optional[str] = None

    def __str__(self) -> str:
        """Return it as a store keeps it."""
        return json.dumps(self._asdict())

    @property
    def stored_form(self) -> Optional[str]:
        """What a store keeps; None for nothing."""
        return str(self) if any(self) else None

    @classmethod
    def parse(cls, text: Optional[str]) -> "Knowledge":
        """Return what a store kept; None was nothing.

        Raises:
            StoreInvalid: it is something else.
        """
        if text is None:
            return cls()
        try:
            found = json.loads(text)
            changes, data, server = found["changes"], found["data"], found["server"]
        except (ValueError, KeyError, TypeError):
            changes = None
        if changes is None or not (
            _are_words(changes) and _are_words(data) and isinstance(server, (str, type(None)))
        ):
            raise StoreInvalid(f"the origin of the store is damaged: what it knows is {text!r}")
        return cls(changes, data, server)


def _are_words(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def of_csns(csns: Iterable[bytes]) -> Knowledge:
    """Return what OpenLDAP says by the values of a contextCSN, or a cookie by its CSNs."""
    newest = cookie.by_sid(csns)
    return Knowledge({_text(sid): _text(csn) for sid, csn in newest.items()})


def of_cookie(value: Optional[bytes]) -> Knowledge:
    """Return what a cookie of OpenLDAP's says."""
    return of_csns(cookie.csns(value or b"").values())


def stored_form(value: Optional[bytes]) -> Optional[str]:
    """Return what a cookie of OpenLDAP's says as a store keeps it; None for nothing."""
    only = cookie.only_csn(value or b"")
    if only is not None:  # most times: a fast path for each commit
        sid, csn = map(bytes.decode, only)
        return f'{{"changes": {{"{sid}": "{csn}"}}, "data": {{}}, "server": null}}'
    return of_cookie(value).stored_form


def of_ruv(values: Iterable[bytes]) -> Knowledge:
    """Return what 389-ds says by the values of its ``nsds50ruv``."""
    changes, data = {}, {}
    for value in values:
        for replica, csn in re.findall(_RUV, value):
            changes[_text(replica)] = _text(csn)
        for generation in re.findall(_GENERATION, value):
            data["replica generation"] = _text(generation)
    return Knowledge(changes, data)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def shortfall(stored: Knowledge, there: Knowledge) -> Optional[str]:
    """Return in words what a server lacks of what is *stored*.

    Args:
        stored: what the store knows.
        there: what the server says that it knows.

    Returns:
        None if it lacks nothing, and where that can't be told.
    """
    for name, value in stored.data.items():
        if there.data.get(name, value) != value:
            return f"its data are others than before ({name} {there.data[name]}, not {value})"
    for server, csn in sorted(missing(stored, there).items()):
        newest = there.changes.get(server)
        if newest is None:
            return f"it knows no change of server ID {server}, the store those up to {csn}"
        return f"it knows the changes of server ID {server} up to {newest}, the store up to {csn}"
    return None


def missing(stored: Knowledge, there: Knowledge) -> _WORDS:
    """Return the CSNs, by server ID, of what is *stored* and not known *there*."""
    if not there.changes:  # that can't be told
        return {}
    known = there.changes
    return {each: csn for each, csn in stored.changes.items() if known.get(each, "") < csn}


def doubt(stored: Knowledge, there: Knowledge) -> Optional[str]:
    """Return why nobody can tell whether a server lacks anything; None if somebody can.

    A server is taken for the one of before where both say who they are: it does not forget.
    """
    if stored.server in (None, there.server) or (stored.changes and there.changes):
        return None
    return (
        f"it is another server than before ({there.server or 'unnamed'}, not {stored.server}), and "
        "whether it has caught up can't be told: this user can't read nsds50ruv"
    )
