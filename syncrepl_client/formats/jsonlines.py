# SPDX-License-Identifier: BSD-3-Clause
"""JSON lines: each change as a JSON object on a line, for programs in any language."""

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import IO, Any, Optional, Union

from ..callbacks import BaseCallback
from ..changes import Change, ChangeKind
from ..entries.attributes import Attributes
from ..entries.differences import AttributeChange, diff, without
from ..entries.text import is_binary
from ..protocol import csn
from .streams import Output

dumps = json.JSONEncoder(separators=(",", ":")).encode
_Values = list[Union[str, dict[str, str]]]


class JSONLinesCallback(BaseCallback):
    """Writes each change as a JSON object on a line of its own, and one at the end of each refresh.

    The documentation describes the members of the objects.  The stream is flushed before each
    commit. The lines of a transaction that is rolled back stay in the stream, and come again: at
    least once, as with every callback.
    """

    def __init__(self, stream: IO[Any], *, leave_out: Collection[str] = ()) -> None:
        """Initialize with a stream, which is not closed.

        Args:
            stream: a text or a binary stream; the output is ASCII.
            leave_out: names, without options and in any case, of attributes that are not written;
                ``syncrepl_client.OPERATIONAL`` for those that the server maintains itself.
        """
        self._output = Output(stream)
        self._leave_out = leave_out

    def dispatch(self, change: Change) -> object:
        """Write *change*."""
        self._write(to_json(change, leave_out=self._leave_out))
        return super().dispatch(change)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write the number of entries."""
        now = datetime.now(timezone.utc)
        self._write({"kind": "refresh-done", "time": rfc3339(now), "entries": len(items)})

    def before_commit(self) -> None:
        """Flush the stream."""
        self._output.flush()

    def _write(self, members: dict[str, Any]) -> None:
        self._output.write(dumps(members) + "\n")


def to_json(change: Change, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return *change* as an object for ``json.dumps``: see :class:`JSONLinesCallback`."""
    kind, uuid, phase, old_dn, new_dn, old, new, told = change
    members: dict[str, Any] = {
        "kind": kind.value,
        "uuid": str(uuid),
        "phase": phase.name.lower(),
    }
    if told is not None:
        members["time"] = rfc3339(told)
    if kind is ChangeKind.REFERENCE:
        members["old_urls"], members["urls"] = _urls(old), _urls(new)
        return members
    members["dn"] = old_dn if kind is ChangeKind.DELETE else new_dn
    if kind is ChangeKind.RENAME:
        members["old_dn"] = old_dn
    made = None if new is None else made_at(new)
    if made is not None:
        members["server_time"] = rfc3339(made)
    attrs = without((old if kind is ChangeKind.DELETE else new) or {}, leave_out)
    members["attributes"] = json_attributes(attrs)
    if kind in (ChangeKind.MODIFY, ChangeKind.RENAME):
        members["differences"] = json_differences(diff(old, new, leave_out=leave_out))
    return members


def json_differences(differences: Iterable[AttributeChange]) -> dict[str, Any]:
    """Return *differences* as an object for ``json.dumps``."""
    return {
        each.name: {
            "kind": each.kind.value,
            "added": json_values(each.name, each.added),
            "removed": json_values(each.name, each.removed),
        }
        for each in differences
    }


def rfc3339(time: datetime) -> str:
    """Return *time*, which is in UTC, as a timestamp of RFC 3339."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def made_at(attrs: Attributes) -> Optional[datetime]:
    """Return when the entry was last written, by its server; None if *attrs* do not say."""
    values = {name.lower(): values[0] for name, values in attrs.items() if values}
    if "entrycsn" in values:
        return csn.made_at(values["entrycsn"])
    modified = values.get("modifytimestamp")
    return None if modified is None else _generalized_time(modified)


def _generalized_time(value: bytes) -> Optional[datetime]:
    """Return a generalizedTime (RFC 4517, 3.3.13) in the form that servers write."""
    try:
        return datetime.strptime(value.decode("ascii"), "%Y%m%d%H%M%SZ").replace(
            tzinfo=timezone.utc
        )
    except ValueError:
        return None


def json_attributes(attrs: Attributes) -> dict[str, _Values]:
    """Return *attrs* as an object for ``json.dumps``."""
    if not any(map(is_binary, attrs)):
        try:  # most entries are text
            return {name: [value.decode() for value in values] for name, values in attrs.items()}
        except UnicodeDecodeError:
            pass
    return {name: json_values(name, values) for name, values in attrs.items()}


def json_values(name: str, values: Collection[bytes]) -> _Values:
    """Return *values* as text, or in base64 if they are not text, or not meant to be."""
    binary = is_binary(name)
    return [_base64(value) if binary else _text(value) for value in values]


def _text(value: bytes) -> Union[str, dict[str, str]]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _base64(value)


def _base64(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def _urls(attrs: Union[Attributes, None]) -> list[str]:
    return [url.decode() for url in (attrs or {}).get("ref", ())]
