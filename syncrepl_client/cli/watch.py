# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client watch``: shows each change of a directory as it happens."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

import click
from rich.console import Console

from .. import JSONLinesCallback, LDIFCallback, RetryCallback, Syncrepl, SyncreplMode
from ..callbacks import BaseCallback
from ..differences import OPERATIONAL
from ..stats import Stats
from ..store import open_store
from . import execute, options, parameters, terminal
from .counting import CountingNamed
from .errors import Interrupted
from .exits import Exit
from .human import HumanCallback
from .output import Stdout
from .progress import RefreshProgress, Seen
from .relay import Relay
from .stopping import Stopping
from .target import Target


@dataclass(frozen=True)
class Manner:
    """How to show changes, and what to do with them.

    Attributes:
        format: ``"text"``, ``"ldif"`` or ``"json"``; None for text, or nothing with *execute*.
        execute: the words of the command to run for each change.
        retries: how often to try that again; None for ever.
        brief: one line a change.
        operational: show what servers keep by themselves.
        color: ``"auto"``, ``"always"`` or ``"never"``.
        new: only what happens from now on.
        once: only what happened so far.
        metrics: where to serve numbers.
    """

    format: Optional[str]
    execute: Optional[list[str]]
    retries: Optional[int]
    brief: bool
    operational: bool
    color: str
    new: bool
    once: bool
    metrics: Optional[tuple[str, int]]


EXAMPLES = """\b
Examples:
  syncrepl-client watch 'ldap://localhost/dc=example,dc=com??sub?(uid=*)'
  syncrepl-client watch -H ldap://localhost -b dc=example,dc=com uid=ada mail
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "ldif", "json"]),
    help="How to write changes  [default: text; with --exec: not at all]",
)
@click.option("--brief", is_flag=True, help="One line a change: no attributes.")
@click.option(
    "--operational",
    is_flag=True,
    help="Show also the attributes that servers keep by themselves, where ATTRS asks for them: +.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours; auto: on a terminal, without NO_COLOR.",
)
@click.option("--new", is_flag=True, help="Show only what happens from now on.")
@click.option("--once", is_flag=True, help="Show what happened so far, and end.")
@click.option(
    "--exec",
    "execute",
    metavar="COMMAND",
    callback=parameters.read_by(execute.parse),
    help="Run COMMAND for each change, with the change as JSON on its standard input. "
    "Where it fails the change is not committed: it comes again, later and later.",
)
@click.option(
    "--exec-retries",
    "retries",
    metavar="N",
    type=click.IntRange(min=0),
    help="Give up after so many repetitions of a failed COMMAND.",
)
@click.option(
    "--max-deletes",
    metavar="N|N%|none",
    callback=parameters.read_by(parameters.max_deletes),
    default="50%",
    show_default=True,
    help="Refuse a refresh that would delete more.",
)
@click.option(
    "--reconcile-every",
    callback=parameters.read_by(parameters.duration),
    metavar="TIME",
    help="Compare all with the directory so often: 90, 15m, 6h, 1d, never.",
)
@click.option("--no-reconnect", is_flag=True, help="End where the connection is lost.")
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    callback=parameters.read_by(parameters.address),
    help="Serve numbers for Prometheus; on loopback, unless HOST says otherwise.",
)
@options.search(data_required=False)
def command(
    target: Target,
    max_deletes: Union[int, float, None],
    reconcile_every: Optional[float],
    no_reconnect: bool,
    **manner: Any,
) -> int:
    """Show each change of a directory as it happens, like tail -f.

    First comes what changed since the state in --data, or else every entry there is. It goes on
    until it is stopped: Ctrl-C, or SIGTERM.
    """
    how = Manner(**manner)
    _check(target, how)
    arguments: dict[str, Any] = {
        **target.arguments,
        "mode": SyncreplMode.REFRESH_ONLY if how.once else SyncreplMode.REFRESH_AND_PERSIST,
        "max_deletes": max_deletes,
        "reconcile_every": reconcile_every,
        "reconnect": False if no_reconnect else None,
    }
    if how.execute is not None:
        retries = sys.maxsize if how.retries is None else how.retries
        arguments["on_callback_error"] = RetryCallback(retries=retries)
    _watch(how, arguments)
    return Exit.DONE


def _check(target: Target, how: Manner) -> None:
    """See that the options can be combined.

    Raises:
        click.UsageError: they can't.
    """
    if how.new and target.data_path is not None:
        raise click.UsageError("--new and --data exclude each other: a state knows what is new.")
    if how.new and how.once:
        raise click.UsageError("--new and --once together show nothing.")
    if how.retries is not None and how.execute is None:
        raise click.UsageError("--exec-retries is for --exec.")
    text = how.format == "text" or (how.format is None and how.execute is None)
    if how.brief and not text:
        raise click.UsageError("--brief is for --format text.")


def _watch(how: Manner, arguments: dict[str, Any]) -> None:
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        if how.metrics is not None:
            stack.enter_context(_metrics(how.metrics, stopping))
        progress = RefreshProgress()
        stack.callback(progress.end)
        stack.enter_context(_logged(progress))
        output = Stdout(progress.aside, stopping.asked)
        progress.before = output.flush
        handlers = _handlers(how, output, stopping.asked)
        relay = Relay(handlers, progress.tick, only_new=how.new)
        named = _counted(arguments, stack) if progress.wanted else None
        client = stack.enter_context(Syncrepl(callback=relay, **arguments))
        for handler in handlers:
            if isinstance(handler, LDIFCallback):
                handler.arrange(client.store)
        progress.look = lambda: _seen(client, relay, named)
        stopping.client = client
        for _ in _follow(client, how, stopping, progress):
            progress.tick()
            output.check_reader()


def _follow(
    client: Syncrepl, how: Manner, stopping: Stopping, progress: RefreshProgress
) -> Iterator[None]:
    """Follow until it is over; yield now and then.

    With a command, each change is committed by itself: if it fails, those before it don't come
    again.
    """
    try:
        if how.execute is None:
            while client.poll(progress.wait()):
                yield
        elif how.once:
            for _ in client.changes():
                progress.tick()
        else:
            while not stopping.asked():
                for _ in client.changes(timeout=progress.wait()):
                    progress.tick()
                yield
    except Interrupted:  # the change at hand comes again
        return


def _counted(arguments: dict[str, Any], stack: ExitStack) -> Optional[CountingNamed]:
    """Have the store that is kept count what a refresh names; return the counter."""
    if arguments["store"] == "memory":
        return None
    store = arguments["store"] = open_store("sqlite", arguments["data_path"])
    stack.callback(store.close)
    return CountingNamed(store)


def _seen(client: Syncrepl, relay: Relay, named: Optional[CountingNamed]) -> Seen:
    refreshing = relay.connected and not client.refreshed
    if named is None:
        return Seen(refreshing, relay.heard, None, 0)
    return Seen(refreshing, relay.heard, named.count, named.expected)


@contextmanager
def _logged(progress: RefreshProgress) -> Iterator[None]:
    """Have the progress step aside for what is logged."""
    terminal.handler.aside, before = progress.aside, terminal.handler.aside
    try:
        yield
    finally:
        terminal.handler.aside = before


def _metrics(address: tuple[str, int], stopping: Stopping) -> AbstractContextManager[None]:
    try:
        from .metrics import CONNECTING, served
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"--metrics needs {error.name}, which is not installed: "
            "pip install 'syncrepl_client[metrics]'"
        ) from None

    def read() -> Stats:
        return CONNECTING if stopping.client is None else stopping.client.stats

    return served(*address, read)


# --- what is done with a change


def _handlers(how: Manner, output: Stdout, stopping: Callable[[], bool]) -> list[BaseCallback]:
    handlers: list[BaseCallback] = []
    if how.execute is not None:
        handlers.append(execute.ExecCallback(how.execute, stopping))
    if how.format is not None or not handlers:
        handlers.append(_writer(how, output))
    return handlers


def _writer(how: Manner, output: Stdout) -> BaseCallback:
    leave_out = () if how.operational else OPERATIONAL
    stream: Any = output
    if how.format == "ldif":
        return LDIFCallback(stream, leave_out=leave_out)
    if how.format == "json":
        return JSONLinesCallback(stream)
    return HumanCallback(output, _console(how.color), leave_out=leave_out, brief=how.brief)


def _console(color: str) -> Optional[Console]:
    """Return what knows the colours of stdout's terminal; None for no colours."""
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
