# SPDX-License-Identifier: BSD-3-Clause
"""Changes for people to read: coloured on a terminal, safe on every one."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Optional, Union

from rich.console import Console
from rich.text import Text as Styled

from ..callbacks import BaseCallback
from ..changes import Change, ChangeKind
from ..differences import AttributeChange, diff, without
from ..messages import Attributes
from ..text import Text, is_binary
from .output import Stdout
from .terminal import printable

LONGEST = 300
"""A value of more characters is cut."""
_STYLES = {
    ChangeKind.ADD: "bold green",
    ChangeKind.MODIFY: "bold yellow",
    ChangeKind.RENAME: "bold blue",
    ChangeKind.DELETE: "bold red",
    ChangeKind.REFERENCE: "bold magenta",
}
_INDENT = " " * 9
Piece = tuple[str, str]
"""A text, and the style it is in."""


class HumanCallback(BaseCallback):
    """Writes each change in a few lines: what happened when to whom, and what differs."""

    def __init__(
        self,
        stream: Stdout,
        console: Optional[Console],
        *,
        leave_out: Collection[str] = (),
        brief: bool = False,
    ) -> None:
        """Write to *stream*.

        Args:
            stream: where to write.
            console: knows the colours of that stream's terminal; None for no colours.
            leave_out: names of attributes that are not shown.
            brief: write one line a change, without attributes.
        """
        self._stream = stream
        self._console = console
        self._leave_out = leave_out
        self._brief = brief

    def dispatch(self, change: Change) -> None:
        """Write *change*; a modification of nothing but what is left out is not."""
        kind, _, _, old_dn, new_dn, old, new = change
        if kind is ChangeKind.REFERENCE:
            self._head(kind, ", ".join(_urls(new) or _urls(old)))
            return
        lines = self._lines(change)
        if kind is ChangeKind.MODIFY and not lines:
            return
        arrow = (" -> ", "dim"), (printable(new_dn or ""), "bold")
        if kind is not ChangeKind.RENAME:
            self._head(kind, old_dn if kind is ChangeKind.DELETE else new_dn)
        elif self._brief:
            self._head(kind, old_dn, *arrow)
        else:
            self._head(kind, old_dn)
            self._line((f"{_INDENT}   ", ""), *arrow)
        for pieces in () if self._brief else lines:
            self._line((_INDENT, ""), *pieces)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write how many entries there are."""
        entries = f"{len(items):,} {'entry' if len(items) == 1 else 'entries'}"
        self._line((f"{_now()} in step with the directory: {entries}", "dim"))

    def before_commit(self) -> None:
        """Hand on what was written."""
        self._stream.flush()

    def _lines(self, change: Change) -> list[Sequence[Piece]]:
        """Return what is said of the attributes."""
        if change.kind is ChangeKind.ADD:
            return _entry(without(change.new_attrs or {}, self._leave_out))
        if change.kind is ChangeKind.DELETE:
            return []
        differing = diff(change.old_attrs, change.new_attrs, leave_out=self._leave_out)
        return [pieces for each in differing for pieces in _difference(each)]

    def _head(self, kind: ChangeKind, what: Optional[str], *more: Piece) -> None:
        self._line(
            (f"{_now()} ", "dim"),
            (f"{kind.value:<7} ", _STYLES[kind]),
            (printable(what or ""), "bold"),
            *more,
        )

    def _line(self, *pieces: Piece) -> None:
        if self._console is None:
            self._stream.write("".join(text for text, _ in pieces) + "\n")
            return
        with self._console.capture() as captured:
            self._console.print(Styled.assemble(*pieces), soft_wrap=True)
        self._stream.write(captured.get())


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _entry(attrs: Attributes) -> list[Sequence[Piece]]:
    text = Text(attrs)
    lines = [_value("  ", "", name, value) for name in text for value in text[name]]
    for name, values in text.binary.items():
        lines += [_value("  ", "", name, value) for value in values]
    return lines


def _difference(change: AttributeChange) -> list[Sequence[Piece]]:
    name = change.name
    binary = is_binary(name)
    removed = [_value("- ", "red", name, _text(value, binary)) for value in change.removed]
    return removed + [_value("+ ", "green", name, _text(value, binary)) for value in change.added]


def _text(value: bytes, binary: bool) -> Union[str, bytes]:
    try:
        return value if binary else value.decode()
    except UnicodeDecodeError:
        return value


def _value(sign: str, style: str, name: str, value: Union[str, bytes]) -> Sequence[Piece]:
    if isinstance(value, bytes):
        shown, look = f"({len(value):,} bytes)", "dim"
    else:
        shown, look = printable(value[:LONGEST]), style
        if len(value) > LONGEST:
            shown += f"... ({len(value):,} characters)"
    return (sign, style), (f"{printable(name)}: ", "cyan"), (shown, look)


def _urls(attrs: Optional[Attributes]) -> list[str]:
    return [url.decode(errors="replace") for url in (attrs or {}).get("ref", ())]
