# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client watch``: shows each change of a directory as it happens."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

import click

from ... import (
    Backoff,
    Changelog,
    JSONLinesCallback,
    LDIFCallback,
    RetryCallback,
    Syncrepl,
    SyncreplMode,
)
from ...callbacks import BaseCallback
from ...changelog import SinkState
from ...engine.arguments import choose_lease
from ...engine.retry import retriable
from ...engine.stats import CONNECTING
from ...entries.differences import OPERATIONAL
from ...exceptions import StoreError
from ...service import Notifier
from ...store import DataPath, open_store, sinks_of
from .. import execute, options, parameters
from ..errors import Interrupted, one_line
from ..exits import Exit
from ..fanout import FanOut
from ..output import terminal
from ..output.counting import CountingSeenUUIDs
from ..output.human import HumanCallback, console
from ..output.progress import RefreshProgress, Seen
from ..output.stdout import Stdout
from ..signals import Signals
from ..target import Target


@dataclass(frozen=True)
class WatchOptions:
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


logger = logging.getLogger(__name__)

ONCE_RETRIES = 3
"""How often --once repeats a failed command where --exec-retries does not say."""
CONNECT_SECONDS = 120.0
"""How long an attempt to connect may take: the service manager is asked for that much more."""

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
    help="Output format  [default: text; with --exec: none]",
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
@click.option(
    "--new",
    is_flag=True,
    help="Show only what happens from now on; with --data: from when that was begun.",
)
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
@click.option(
    "--lag-patience",
    callback=parameters.read_by(parameters.duration),
    metavar="TIME",
    default="5m",
    show_default=True,
    help="Wait so long for servers that lack changes of the state.",
)
@click.option(
    "--log",
    "log",
    callback=parameters.read_by(parameters.duration),
    metavar="TIME",
    help="Keep a log of the changes of so long in --data: 12h, 30d, never (to forget). It is for "
    "history, show, diff and undo, and goes on without this option.",
)
@click.option(
    "--change-search",
    is_flag=True,
    help="Let the state in --data follow another search from now on: first come the differences.",
)
@click.option(
    "--retry/--no-retry",
    default=None,
    help="Go on trying where the first connection fails  [default: as a service of systemd]",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Share a PostgreSQL database in --data with other programs: one follows, the others wait.",
)
@click.option(
    "--lease",
    callback=parameters.read_by(parameters.duration),
    metavar="TIME",
    help="The same; that one may be silent for so long before another takes over  [default: 10]",
)
@click.option("--no-reconnect", is_flag=True, help="End where the connection is lost.")
@click.option(
    "--trust-persist",
    is_flag=True,
    help="389 Directory Server: show changes as they are sent, against its access rules, and not "
    "as this user may read them. Quicker.",
)
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
    lag_patience: float,
    no_reconnect: bool,
    change_search: bool,
    retry: Optional[bool],
    log: Optional[float],
    trust_persist: bool,
    standby: bool,
    lease: Optional[float],
    **manner: Any,
) -> int:
    """Show each change of a directory as it happens, like tail -f.

    First comes what changed since the state in --data, or else every entry there is. It goes on
    until it is stopped: Ctrl-C, or SIGTERM.
    """
    how = WatchOptions(**manner)
    _check(target, how, change_search)
    if log is not None and target.data_path is None:
        raise click.UsageError("--log is for --data: without it nothing is kept.")
    if (standby or lease is not None) and how.format == "ldif":
        raise click.UsageError("--format ldif needs all changes: a standby has only a part.")
    arguments: dict[str, Any] = {
        **target.arguments,
        "mode": SyncreplMode.REFRESH_ONLY if how.once else SyncreplMode.REFRESH_AND_PERSIST,
        "max_deletes": max_deletes,
        "reconcile_every": reconcile_every,
        "lag_patience": lag_patience,
        "reconnect": False if no_reconnect else None,
        "change_search": change_search,
        "trust_persist": trust_persist,
        "initial": "silent" if how.new else "tell",
        "changelog": None if log is None else Changelog(log),
        "lease": choose_lease(standby, lease),
    }
    if how.execute is not None:
        always = ONCE_RETRIES if how.once else sys.maxsize
        retries = always if how.retries is None else how.retries
        arguments["on_callback_error"] = RetryCallback(retries=retries)
    notifier = Notifier()
    _watch(how, arguments, notifier, notifier.enabled if retry is None else retry)
    return Exit.DONE


def _check(target: Target, how: WatchOptions, change_search: bool) -> None:
    """Check that the options can be combined.

    Raises:
        click.UsageError: they can't.
    """
    if how.new and how.once and target.data_path is None:
        raise click.UsageError("--new and --once together show nothing: --data keeps what is old.")
    if change_search and target.data_path is None:
        raise click.UsageError("--change-search is for --data: without it nothing is kept.")
    if how.retries is not None and how.execute is None:
        raise click.UsageError("--exec-retries is for --exec.")
    text = how.format == "text" or (how.format is None and how.execute is None)
    if how.brief and not text:
        raise click.UsageError("--brief is for --format text.")


def _watch(how: WatchOptions, arguments: dict[str, Any], notifier: Notifier, retry: bool) -> None:
    with ExitStack() as stack:
        stopping = stack.enter_context(Signals[Syncrepl]())
        if how.metrics is not None:
            path = arguments["data_path"] if arguments["store"] == "sqlite" else None
            stack.enter_context(_metrics(how.metrics, stopping, path))
        progress = RefreshProgress()
        stack.callback(progress.end)
        stack.enter_context(_logged(progress))
        output = Stdout(progress.aside, stopping.asked)
        progress.before = output.flush
        handlers = _handlers(how, output, stopping.asked)
        fan_out = FanOut(handlers, progress.tick)
        client, seen = _connected(fan_out, arguments, notifier, retry, progress.wanted)
        stack.enter_context(client)
        stack.callback(notifier.stopping)
        for handler in handlers:
            if isinstance(handler, LDIFCallback):
                handler.arrange(client.store)
        progress.look = lambda: _seen(client, fan_out, seen)
        stopping.client = client

        def seconds() -> float:
            return min(notifier.interval, progress.wait())

        for _ in _follow(client, how, stopping, seconds):
            progress.tick()
            notifier.tick(client)
            output.check_reader()


def _connected(
    fan_out: FanOut, arguments: dict[str, Any], notifier: Notifier, retry: bool, counts: bool
) -> "tuple[Syncrepl, Optional[CountingSeenUUIDs]]":
    """Return the client, and what counts the entries that a refresh names, if that is wanted.

    Raises:
        Exception: as ``Syncrepl``; with *retry* only what another attempt can't mend.
    """
    backoff, attempts = Backoff(), 0
    while True:
        store = open_store(arguments["store"], arguments["data_path"], lease=arguments["lease"])
        try:
            seen = CountingSeenUUIDs(store) if counts else None
            return Syncrepl(callback=fan_out, **{**arguments, "store": store}), seen
        except Exception as error:
            store.close()
            if not (retry and retriable(error)):
                raise
            attempts += 1
            seconds = backoff.delay(attempts)
            said = f"{one_line(error)}; again in {seconds:.1f} s"
        logger.warning(said)
        notifier.extend(seconds + CONNECT_SECONDS, said)
        time.sleep(seconds)


def _follow(
    client: Syncrepl, how: WatchOptions, stopping: Signals[Syncrepl], seconds: Callable[[], float]
) -> Iterator[None]:
    """Poll until the search is over; yield now and then.

    With --exec, each change is committed separately: if one fails, those before it don't come
    again.
    """
    try:
        if how.execute is None:
            while client.poll(seconds()):
                yield
        elif how.once:
            for _ in client.changes():
                yield
        else:
            while not stopping.asked():
                for _ in client.changes(timeout=seconds()):
                    yield
                yield
    except Interrupted:  # the change at hand comes again
        return


def _seen(client: Syncrepl, fan_out: FanOut, seen: Optional[CountingSeenUUIDs]) -> Seen:
    refreshing = fan_out.connected and not client.refreshed
    if seen is None:
        return Seen(refreshing, fan_out.heard, None, 0)
    return Seen(refreshing, fan_out.heard, seen.count, seen.expected)


@contextmanager
def _logged(progress: RefreshProgress) -> Iterator[None]:
    """Hide the progress line while something is logged."""
    terminal.handler.aside, before = progress.aside, terminal.handler.aside
    try:
        yield
    finally:
        terminal.handler.aside = before


def _metrics(
    address: tuple[str, int], stopping: Signals[Syncrepl], data_path: Optional[DataPath]
) -> AbstractContextManager[None]:
    try:
        from ..output.metrics import Figures, served
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"--metrics needs {error.name}, which is not installed: "
            "pip install 'syncrepl_client[metrics]'"
        ) from None

    def read() -> "list[Figures]":
        if stopping.client is None:
            return [Figures(CONNECTING)]
        sinks: Sequence[SinkState] = ()
        if data_path is not None:
            with suppress(StoreError):  # a database is away
                sinks = sinks_of(data_path)
        return [Figures(stopping.client.stats, sinks)]

    return served(*address, read)


# --- the callbacks


def _handlers(
    how: WatchOptions, output: Stdout, stopping: Callable[[], bool]
) -> list[BaseCallback]:
    handlers: list[BaseCallback] = []
    if how.execute is not None:
        handlers.append(execute.ExecCallback(how.execute, stopping))
    if how.format is not None or not handlers:
        handlers.append(_writer(how, output))
    return handlers


def _writer(how: WatchOptions, output: Stdout) -> BaseCallback:
    leave_out = () if how.operational else OPERATIONAL
    stream: Any = output
    if how.format == "ldif":
        return LDIFCallback(stream, leave_out=leave_out)
    if how.format == "json":
        return JSONLinesCallback(stream)
    return HumanCallback(
        output,
        console(how.color),
        leave_out=leave_out,
        brief=how.brief,
        dated=not terminal.is_terminal(sys.stdout),
    )
