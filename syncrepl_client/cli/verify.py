# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client verify``: compares a store with the directory, entry by entry.

What changed since the store's last commit differs too, and is no error.  To tell the two apart,
a client must catch up first; and a client that catches up commits.  In the store itself those
changes would count as told, and the program that owns it would never hear of them.  So the
client works on a copy, which is thrown away.
"""

import logging
import math
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional

import click

from .. import Syncrepl, SyncreplMode, dn
from ..callbacks import BaseCallback
from ..changes import Change
from ..exceptions import StoreError, TooManyDeletes
from ..store import Origin, file_name, read_store
from ..verification import Difference, DifferenceKind
from . import options
from .exits import Exit
from .report import Report, counted, write_json
from .target import Target

logger = logging.getLogger(__name__)

_DOUBTS = ("the stored cookie is not used: ", "starting over without a cookie: ")
_STYLES = {
    DifferenceKind.MISSING: "bold red",
    DifferenceKind.SURPLUS: "bold red",
    DifferenceKind.DIFFERENT: "yellow",
    DifferenceKind.RESPELLED: "blue",
}


class CatchingUp(BaseCallback):
    """Listens to what a program would be told.

    Attributes:
        changes: how many changes.
        suspects: differences that no change has explained so far, by the keys of their DNs.
        doubt: why the search began without a cookie; None if it did not.
    """

    def __init__(self, differences: Sequence[Difference] = ()) -> None:
        self.changes = 0
        self.suspects = {key: each for each in differences for key in _keys(each.dn)}
        self.doubt: Optional[str] = None

    def dispatch(self, change: Change) -> None:
        """Count *change*; what differed at its DNs has not been missed."""
        self.changes += 1
        if self.suspects:
            for key in _keys(change.old_dn, change.new_dn):
                self.suspects.pop(key, None)

    def debug(self, message: str) -> None:
        """Listen for why a cookie is not used."""
        for beginning in _DOUBTS:
            if message.startswith(beginning):
                self.doubt = message[len(beginning) :]


def _keys(*names: Optional[str]) -> "list[bytes]":
    return [dn.key(name) for name in names if name]


class Outcome(NamedTuple):
    """What was found.

    Attributes:
        differences: what differs, and no change explains it.
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
@click.option("--limit", type=click.IntRange(1, 10**9), default=1000, metavar="N",
              show_default=True, help="Stop after so many differences.")  # fmt: skip
@click.option("--page-size", type=click.IntRange(1), default=1000, metavar="N",
              show_default=True, help="Read so many entries a page.")  # fmt: skip
@options.search(data_required=True, data_help=options.LOOK)
def command(target: Target, form: str, limit: int, page_size: int) -> int:
    """Compare a state with the directory, entry by entry.

    The state is copied into a temporary directory (TMPDIR). A client catches up there with
    what changed since, and then the copy is compared with an ordinary search of the
    directory. Where something differs, the client catches up once more: what changed
    meanwhile is left out, the rest is told. The state itself may be in use, and is not
    changed.

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
        callback = CatchingUp()
        with _caught_up(callback, arguments) as client:
            differences = client.verify(page_size, limit)
            entries, reconciled = len(client.store), client.store.origin.reconciled
        if differences:
            differences = _unexplained(differences, arguments, page_size, limit)
        afresh = None
        if reconciled != origin.reconciled:
            afresh = callback.doubt or "the state has no cookie"
        return Outcome(differences, entries, callback.changes, afresh)


def _unexplained(
    differences: "list[Difference]", arguments: "dict[str, Any]", page_size: int, limit: int
) -> "list[Difference]":
    """Return those of *differences* that no change explains, and that are still there.

    The client is told of all that changed before it begins, so also of what changed just before
    the comparison.  Busy entries are explained by that.  What was changed and changed back is no
    change to the client, and is not there any more.
    """
    callback = CatchingUp(differences)
    with _caught_up(callback, arguments) as client:
        if not callback.suspects:
            return []
        again = set(client.verify(page_size, 2 * limit))  # others may come first
    return [each for each in callback.suspects.values() if each in again]


@contextmanager
def _caught_up(callback: CatchingUp, arguments: "dict[str, Any]") -> "Iterator[Syncrepl]":
    try:
        logger.info("catching up with the directory, in the copy")
        with Syncrepl(callback=callback, **arguments) as client:
            client.run()
            logger.info("told of %d changes; comparing", callback.changes)
            yield client
    except TooManyDeletes as error:
        raise TooManyDeletes(
            f"a program that catches up would have to delete {error.deletes} of the state's "
            f"{error.entries} entries: see whether the directory, this user's rights and the "
            "filter are as they should be",
            deletes=error.deletes,
            entries=error.entries,
        ) from error


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
        logger.info("copying the state to %s", name)
        with read_store(data_path) as reader:
            reader.copy(file_name(os.path.join(name, "")))
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
        had = counted(outcome.entries, "entry", "entries")
        report.text(f"{pending} differs: {had} compared.", "green")
        return
    count = len(outcome.differences)
    more = ", and there may be more" if count >= limit else ""
    had = counted(outcome.entries, "entry", "entries")
    report.text(f"{counted(count, 'difference')}{more}; the state has {had}.", "bold red")
    report.text(
        "To have the program hear of them: syncrepl-client reconcile, or client.reconcile()"
    )


def _remarks(outcome: Outcome) -> "Iterator[str]":
    pending = outcome.pending
    if outcome.afresh is not None:
        yield f"The search began without a cookie: {outcome.afresh}."
        yield (
            f"It led to {counted(pending, 'change')}. What of that the program missed, and what it "
            "will be told of in any case, can't be told."
        )
    elif pending:
        changes = counted(pending, "change")
        yield f"The program has not been told yet of {changes}; that is no fault."


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
