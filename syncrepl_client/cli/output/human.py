# SPDX-License-Identifier: BSD-3-Clause
"""Changes for people: coloured on a terminal, safe on every one."""

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Optional, Protocol, Union

from rich.console import Console
from rich.text import Text as Styled

from ...callbacks import BaseCallback
from ...changes import Change, ChangeKind
from ...entries.attributes import Attributes
from ...entries.differences import AttributeChange, diff, without
from ...entries.printable import printable
from ...entries.text import decoded, is_binary

LONGEST = 300
"""The maximum number of characters of a value; longer ones are truncated."""
_STYLES = {
    ChangeKind.ADD: "bold green",
    ChangeKind.MODIFY: "bold yellow",
    ChangeKind.RENAME: "bold blue",
    ChangeKind.DELETE: "bold red",
    ChangeKind.REFERENCE: "bold magenta",
}
_INDENT = " " * 9
Piece = tuple[str, str]
"""A text and its style."""


class Stream(Protocol):
    """An output stream."""

    def write(self, text: str) -> object:
        """Write *text*."""

    def flush(self) -> object:
        """Flush what is buffered."""


class HumanCallback(BaseCallback):
    """Writes each change in a few lines: time, kind, DN, and the difference."""

    def __init__(
        self,
        stream: Stream,
        console: Optional[Console],
        *,
        leave_out: Collection[str] = (),
        brief: bool = False,
        dated: bool = False,
    ) -> None:
        """Initialize from the output stream.

        Args:
            stream: the output stream.
            console: knows the colours of that stream's terminal; None for no colours.
            leave_out: names of attributes that are not shown.
            brief: write one line per change, without attributes.
            dated: write the date with each time, not only where the day changes.
        """
        self._stream = stream
        self._paint = Paint(console)
        self._leave_out = leave_out
        self._brief = brief
        self._dated = dated
        self._day = ""

    def dispatch(self, change: Change) -> None:
        """Write *change*, unless it modifies only attributes that are left out."""
        self.show(change)

    def show(self, change: Change, differences: Optional[Sequence[AttributeChange]] = None) -> None:
        """Write *change* as :meth:`dispatch`; the log of changes has its *differences*."""
        kind, _, _, old_dn, new_dn, old, new, when = change
        now = self._time(when)
        if kind is ChangeKind.REFERENCE:
            self._head(now, kind, ", ".join(_urls(new) or _urls(old)))
            return
        lines = self._lines(change, differences)
        if kind is ChangeKind.MODIFY and not lines:
            return
        arrow = (" -> ", "dim"), (printable(new_dn or ""), "bold")
        if kind is not ChangeKind.RENAME:
            self._head(now, kind, old_dn if kind is ChangeKind.DELETE else new_dn)
        elif self._brief:
            self._head(now, kind, old_dn, *arrow)
        else:
            self._head(now, kind, old_dn)
            self._line((f"{_INDENT}   ", ""), *arrow)
        for pieces in () if self._brief else lines:
            self._line((_INDENT, ""), *pieces)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Write the number of entries."""
        entries = f"{len(items):,} {'entry' if len(items) == 1 else 'entries'}"
        self._line((f"{self._time(None)} in step with the directory: {entries}", "dim"))

    def before_commit(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def _lines(
        self, change: Change, differences: Optional[Sequence[AttributeChange]]
    ) -> list[Sequence[Piece]]:
        """Return the lines about the attributes."""
        if change.kind is ChangeKind.ADD:
            if self._brief:
                return []
            return _entry(without(change.new_attrs or {}, self._leave_out))
        if change.kind is ChangeKind.DELETE:
            return []
        if differences is None:
            differences = diff(change.old_attrs, change.new_attrs, leave_out=self._leave_out)
        return [pieces for each in differences for pieces in _difference(each)]

    def _head(self, now: str, kind: ChangeKind, what: Optional[str], *more: Piece) -> None:
        self._line(
            (f"{now} ", "dim"),
            (f"{kind.value:<7} ", _STYLES[kind]),
            (printable(what or ""), "bold"),
            *more,
        )

    def _time(self, when: Optional[datetime]) -> str:
        moment = datetime.now(timezone.utc) if when is None else when
        day, now = _local(moment.replace(microsecond=0))
        if self._dated or self._day not in ("", day):
            now = f"{day} {now}"
        self._day = day
        return now

    def _line(self, *pieces: Piece) -> None:
        self._stream.write(self._paint(pieces) + "\n")


@lru_cache(1)  # many changes are told in a second
def _local(moment: datetime) -> tuple[str, str]:
    """Return the date and the time of day, here."""
    day, now = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S").split()
    return day, now


class Paint:
    """Colours text: what surrounds a text in a style is asked for once, as rich takes its time."""

    def __init__(self, console: Optional[Console]) -> None:
        """Initialize from a console that knows the colours; None for no colours."""
        self._console = console
        self._around: dict[str, tuple[str, str]] = {}

    def __call__(self, pieces: Sequence[Piece]) -> str:
        """Return *pieces* as one text, with the codes for the terminal."""
        if self._console is None:
            return "".join([text for text, _ in pieces])
        around = ((text, *self._codes(self._console, style)) for text, style in pieces)
        return "".join([f"{before}{text}{after}" for text, before, after in around if text])

    def _codes(self, console: Console, style: str) -> tuple[str, str]:
        if style not in self._around:
            with console.capture() as captured:
                console.print(Styled("-", style), end="")
            before, _, after = captured.get().partition("-")
            self._around[style] = before, after
        return self._around[style]


def console(color: str) -> Optional[Console]:
    """Return a console that knows the colours of stdout's terminal; None for no colours."""
    if color == "never" or (color == "auto" and os.environ.get("NO_COLOR")):
        return None
    always = color == "always"
    console = Console(
        force_terminal=True if always else None,
        no_color=False if always else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    return console if console.color_system is not None else None


def _entry(attrs: Attributes) -> list[Sequence[Piece]]:
    """Return a line for each value, octets last."""
    lines: list[Sequence[Piece]] = []
    octets: list[Sequence[Piece]] = []
    for name, values in attrs.items():
        text = None if is_binary(name) else decoded(values)
        if text is None:
            octets += [_value("  ", "", name, value) for value in values]
        else:
            lines += [_value("  ", "", name, value) for value in text]
    return lines + octets


def _difference(change: AttributeChange) -> list[Sequence[Piece]]:
    name = change.name
    if not (change.added or change.removed):
        how = f"{change.kind.value}; its values are not kept"
        return [(("~ ", "yellow"), (f"{printable(name)}: ", "cyan"), (how, "dim"))]
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
