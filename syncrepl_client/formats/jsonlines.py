# SPDX-License-Identifier: BSD-3-Clause
"""JSON lines: what happened, one object a line, for programs in any language."""

import base64
import json
from collections.abc import Collection, Mapping
from typing import IO, Any, Union

from ..callbacks import BaseCallback
from ..changes import Change, ChangeKind
from ..differences import diff, without
from ..messages import Attributes
from ..text import is_binary
from .streams import Output

dumps = json.JSONEncoder(separators=(",", ":")).encode
_Values = list[Union[str, dict[str, str]]]


class JSONLinesCallback(BaseCallback):
    """Writes each change as a JSON object on a line of its own, and one at each refresh's end.

    The documentation says which members the objects have.  The stream is flushed before each
    commit.  A transaction that is rolled back leaves its lines there, and they come again: at
    least once, as with every callback.
    """

    def __init__(self, stream: IO[Any], *, leave_out: Collection[str] = ()) -> None:
        """Write to *stream*, which stays open.

        Args:
            stream: a text or a binary stream; what is written is ASCII.
            leave_out: names, options aside and in any case, of attributes that are not written;
                ``syncrepl_client.OPERATIONAL`` for those that the server keeps by itself.
        """
        self._output = Output(stream)
        self._leave_out = leave_out

    def dispatch(self, change: Change) -> object:
        """Write *change*."""
        self._write(to_json(change, leave_out=self._leave_out))
        return super().dispatch(change)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write how many entries there are."""
        self._write({"kind": "refresh-done", "entries": len(items)})

    def before_commit(self) -> None:
        """Flush the stream."""
        self._output.flush()

    def _write(self, members: dict[str, Any]) -> None:
        self._output.write(dumps(members) + "\n")


def to_json(change: Change, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return *change* as an object that ``json`` can write: see :class:`JSONLinesCallback`."""
    kind, uuid, phase, old_dn, new_dn, old, new = change
    members: dict[str, Any] = {
        "kind": kind.value,
        "uuid": str(uuid),
        "phase": phase.name.lower(),
    }
    if kind is ChangeKind.REFERENCE:
        members["old_urls"], members["urls"] = _urls(old), _urls(new)
        return members
    members["dn"] = old_dn if kind is ChangeKind.DELETE else new_dn
    if kind is ChangeKind.RENAME:
        members["old_dn"] = old_dn
    attrs = without((old if kind is ChangeKind.DELETE else new) or {}, leave_out)
    members["attributes"] = {name: json_values(name, values) for name, values in attrs.items()}
    if kind in (ChangeKind.MODIFY, ChangeKind.RENAME):
        members["differences"] = {
            each.name: {
                "kind": each.kind.value,
                "added": json_values(each.name, each.added),
                "removed": json_values(each.name, each.removed),
            }
            for each in diff(old, new, leave_out=leave_out)
        }
    return members


def json_values(name: str, values: Collection[bytes]) -> _Values:
    """Return *values* as text; as base64 what is no text, or is not meant to be."""
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
