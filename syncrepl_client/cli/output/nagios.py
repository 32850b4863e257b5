# SPDX-License-Identifier: BSD-3-Clause
"""``status`` as a plugin of Nagios and Icinga: one line with performance data, and four codes."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Optional

import click

from ...engine.lag import Lag
from ...entries.printable import printable
from ...network import passwordpolicy
from ..errors import EXPECTED, one_line
from .report import write

SERVICE = "SYNCREPL"


class State(IntEnum):
    """The exit codes of plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_SEVERITY = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


def worse(one: State, other: State) -> State:
    """Return the state that somebody should rather know of."""
    return max(one, other, key=_SEVERITY.index)


class Thresholds(NamedTuple):
    """Numbers of seconds, or changes, above which the state is WARNING or CRITICAL."""

    warning: float
    critical: float


Number = tuple[str, float, str, Optional[Thresholds]]
"""Name, value, unit and thresholds of a piece of performance data."""


class PluginCommand(click.Command):
    """A command whose errors are also reported as for Nagios, if --nagios is given."""

    def make_context(
        self,
        info_name: Optional[str],
        args: "list[str]",
        parent: Optional[click.Context] = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the arguments."""
        wanted = "--nagios" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            if not wanted:
                raise
            raise click.exceptions.Exit(_unknown(error.format_message())) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        if not ctx.params.get("nagios"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            return _unknown(error.format_message())
        except (*EXPECTED, OSError) as error:
            if passwordpolicy.is_final(error.__cause__):
                return _failed(State.CRITICAL, one_line(error))
            return _unknown(one_line(error))


def _unknown(said: str) -> State:
    return _failed(State.UNKNOWN, said)


def _failed(state: State, said: str) -> State:
    write(line(state, said, ()) + "\n")
    return state


def line(state: State, text: str, numbers: Sequence[Number]) -> str:
    """Return the output line of a plugin."""
    data = " ".join(map(_datum, numbers))
    text = printable(" ".join(text.split())).replace("|", "/")
    said = f"{SERVICE} {state.name} - {text}"
    return f"{said} | {data}" if data else said


def _datum(number: Number) -> str:
    name, value, unit, thresholds = number
    limits = "" if thresholds is None else f"{thresholds.warning:g};{thresholds.critical:g}"
    return f"{name}={value:.15g}{unit};{limits or ';'};0"


def judge(found: Lag, thresholds: Thresholds) -> "tuple[State, str]":
    """Return the state for a comparison, and its text."""
    said = words(found)
    behind = found.seconds if found.changes is None else float(found.changes)
    if found.in_step is None:
        return State.UNKNOWN, said
    if behind is not None and behind > thresholds.critical:
        return State.CRITICAL, said
    if behind is None or behind > thresholds.warning or found.ahead or found.lacks:
        return State.WARNING, said
    if found.misconfigured is not None:
        return State.WARNING, f"{said}; changes are left out: {found.misconfigured}"
    return State.OK, said


def words(found: Lag) -> str:
    """Describe in a few words how the store and the server compare."""
    if found.in_step is None:
        return f"can't be told: {found.reason}"
    if found.ahead or found.lacks:
        return f"the state is newer than {found.server}: does it lag, or was it put back in time?"
    if found.in_step:
        return f"in step with {found.server}"
    if found.changes is not None:
        what = "change" if found.changes == 1 else "changes"
        return f"{found.changes} {what} behind {found.server}"
    if found.seconds is not None:
        return f"{span(found.seconds)} behind {found.server}"
    return f"behind {found.server}, it can't be told how far"


def span(seconds: float) -> str:
    """Format a duration in one or two units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
