# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client verify``: compares a store with the directory, entry by entry.

What changed since the store's last commit differs too, and is no error.  To tell the two apart,
a client must catch up first; and a client that catches up commits.  In the store itself those
changes would count as told, and the program that owns it would never hear of them.  So the
client works on a copy, which is thrown away.
"""

import math
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional

import click

from .. import Syncrepl, SyncreplMode
from ..callbacks import BaseCallback
from ..changes import Change
from ..exceptions import StoreError
from ..store import Origin, read_store
from ..verification import Difference, DifferenceKind
from . import options
from .exits import Exit
from .report import Report, write_json
from .target import Target

_DOUBTS = ("the stored cookie is not used: ", "starting over without a cookie: ")
_STYLES = {
    DifferenceKind.MISSING: "bold red",
    DifferenceKind.SURPLUS: "bold red",
    DifferenceKind.DIFFERENT: "yellow",
    DifferenceKind.RESPELLED: "blue",
}
_LAST_NAME = "syncrepl.sqlite3"


class CatchingUp(BaseCallback):
    """Counts what a program would be told.

    Attributes:
        changes: how many changes.
        doubt: why the search began without a cookie; None if it did not.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.doubt: Optional[str] = None

    def dispatch(self, change: Change) -> None:
        """Count *change*."""
        self.changes += 1

    def debug(self, message: str) -> None:
        """Listen for why a cookie is not used."""
        for beginning in _DOUBTS:
            if message.startswith(beginning):
                self.doubt = message[len(beginning) :]


class Outcome(NamedTuple):
    """What was found.

    Attributes:
        differences: what differs, also when a client has caught up.
        entries: how many entries were compared.
        pending: how many changes the program has not been told of yet.
        afresh: why those can't be told from what it missed; None where they can.
    """

    differences: "list[Difference]"
    entries: int
    pending: int
    afresh: Optional[str]


@click.command
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="How to write what differs.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=1000, metavar="N", show_default=True,
              help="Stop after so many differences.")  # fmt: skip
@click.option("--page-size", type=click.IntRange(1), default=1000, metavar="N",
              show_default=True, help="Read so many entries a page.")  # fmt: skip
@options.search(data_required=True, data_help=options.LOOK)
def command(target: Target, form: str, limit: int, page_size: int) -> int:
    """Compare a state with the directory, entry by entry.

    The state is copied into a temporary directory (TMPDIR). A client catches up there with
    what changed since, and then the copy is compared with an ordinary search of the
    directory. What differs is looked at again after a while, and told if it still does. The
    state itself may be in use, and is not changed.

    Exit code: 0 if nothing differs, 1 if something does.
    """
    outcome = examine(target, page_size, limit)
    if form == "json":
        _write_json(outcome)
    else:
        _write(outcome, limit)
    return Exit.FOUND if outcome.differences else Exit.DONE


def examine(target: Target, page_size: int, limit: int) -> Outcome:
    """Return what differs between a copy of the store, brought up to date, and the directory.

    Raises:
        StoreError: the store can't be read, or not be copied.
        SyncreplError, ldap.LDAPError: as from ``Syncrepl`` and its methods.
    """
    with _interruptible(), _copy(target.data_path or "") as (directory, origin):
        arguments = {
            **target.arguments,
            "data_path": directory,
            "mode": SyncreplMode.REFRESH_ONLY,
            "reconcile_every": math.inf,
        }

        def compared() -> "tuple[list[Difference], int, CatchingUp, Origin]":
            callback = CatchingUp()
            with Syncrepl(callback=callback, **arguments) as client:
                client.run()
                found = client.verify(page_size, limit)
                return found, len(client.store), callback, client.store.origin

        differences, entries, callback, caught_up = compared()
        afresh = None
        if caught_up.reconciled != origin.reconciled:
            afresh = callback.doubt or "the state has no cookie"
        if differences:
            again = set(compared()[0])
            differences = [each for each in differences if each in again]
        return Outcome(differences, entries, callback.changes, afresh)


@contextmanager
def _interruptible() -> "Iterator[None]":
    """Have also other signals than Ctrl-C's remove the copy, and not look like a clean answer."""
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _copy(data_path: str) -> "Iterator[tuple[str, Origin]]":
    try:
        directory = tempfile.TemporaryDirectory(prefix="syncrepl-verify-")
    except OSError as error:
        raise StoreError(f"there is no room for a copy of the state: {error}") from error
    with directory as name:
        with read_store(data_path) as reader:
            reader.copy(os.path.join(name, _LAST_NAME))
            origin = reader.origin
        yield os.path.join(name, ""), origin


# --- telling of it


def _write(outcome: Outcome, limit: int) -> None:
    report = Report(11)
    for each in outcome.differences:
        report.row(each.kind.value, each.dn, style=_STYLES[each.kind], wrap=False)
        if each.attributes:
            report.advice(", ".join(each.attributes), ())
    if outcome.differences:
        report.line("")
    for text in _remarks(outcome):
        report.text(text)
    if not outcome.differences:
        pending = "Apart from that, nothing" if outcome.pending else "Nothing"
        report.text(f"{pending} differs: {outcome.entries:,} entries compared.", "green")
        return
    count = len(outcome.differences)
    more = ", and there may be more" if count >= limit else ""
    what = "difference" if count == 1 else "differences"
    report.text(f"{count:,} {what}{more}; the state has {outcome.entries:,} entries.", "bold red")
    report.text(
        "To have the program hear of them: syncrepl-client reconcile, or client.reconcile()"
    )


def _remarks(outcome: Outcome) -> "Iterator[str]":
    pending = outcome.pending
    if outcome.afresh is not None:
        yield f"The next start of the program searches without a cookie: {outcome.afresh}."
        yield (
            f"It will be told of {pending:,} changes; which of them it had missed before, can't "
            "be told."
        )
    elif pending:
        yield f"The program has not been told yet of {pending:,} changes; they are no differences."


def _write_json(outcome: Outcome) -> None:
    for each in outcome.differences:
        write_json(_members(each))
    summary = {
        "kind": "summary",
        "entries": outcome.entries,
        "differences": len(outcome.differences),
        "pending": outcome.pending,
        "afresh": outcome.afresh,
    }
    write_json(summary)


def _members(difference: Difference) -> "dict[str, Any]":
    return {
        "kind": difference.kind.value,
        "dn": difference.dn,
        "stored_dn": difference.stored_dn,
        "attributes": list(difference.attributes),
    }
