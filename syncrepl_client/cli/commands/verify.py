# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client verify``: compares a store with the directory, entry by entry.

Changes since the store's last commit are differences too, and no error.  To tell them apart, a
client must catch up first; and a client that catches up commits.  In the store itself those changes
would count as reported, and the program that owns it would never get them.  So the client works on
a copy, which is deleted afterwards.
"""

import logging
import math
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Optional

import click

from ... import Syncrepl, SyncreplMode
from ...callbacks import BaseCallback
from ...changes import Change
from ...engine.verification import Difference, DifferenceKind
from ...entries import dn
from ...exceptions import StoreError, TooManyDeletes
from ...store import DataPath, Origin, file_name, open_store, read_store
from .. import options
from ..exits import Exit
from ..output.report import Report, counted, write_json
from ..target import Target

logger = logging.getLogger(__name__)

_DOUBTS = ("the stored cookie is not used: ", "starting over without a cookie: ")
"""What the client says before a reason."""
_STYLES = {
    DifferenceKind.MISSING: "bold red",
    DifferenceKind.SURPLUS: "bold red",
    DifferenceKind.DIFFERENT: "yellow",
    DifferenceKind.RESPELLED: "blue",
}


class CatchUpCallback(BaseCallback):
    """Counts what would be reported to a program.

    Attributes:
        changes: how many changes there were.
        suspects: differences that no change has explained so far, by the keys of their DNs.
        doubt: why the search started without a cookie; None if it did not.
    """

    def __init__(self, differences: Sequence[Difference] = ()) -> None:
        self.changes = 0
        self.suspects = {key: each for each in differences for key in _keys(each.dn)}
        self.doubt: Optional[str] = None

    def dispatch(self, change: Change) -> None:
        """Count *change*; differences at its DNs are explained by it."""
        self.changes += 1
        if self.suspects:
            for key in _keys(change.old_dn, change.new_dn):
                self.suspects.pop(key, None)

    def debug(self, message: str) -> None:
        """Detect why a cookie is not used."""
        for words in _DOUBTS:  # the server's URL may come first
            _, found, reason = message.partition(words)
            if found:
                self.doubt = reason


def _keys(*names: Optional[str]) -> "list[bytes]":
    return [dn.key(name) for name in names if name]


class Outcome(NamedTuple):
    """The result of a verification.

    Attributes:
        differences: those that no change explains.
        entries: how many entries were compared.
        pending: how many changes the program has not received yet.
        afresh: why those can't be told from what it missed; None if they can.
        lasting: those of the differences that a refresh without a cookie does not remove.
    """

    differences: "list[Difference]"
    entries: int
    pending: int
    afresh: Optional[str]
    lasting: "list[Difference]"


@click.command
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="Output format.")  # fmt: skip
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
    meanwhile is left out, the rest is told. Then all is refreshed in the copy, to see what
    of it a reconcile would mend. The state itself may be in use, and is not changed.

    Exit code: 0 if nothing differs, 1 if something does.
    """
    outcome = examine(target, page_size, limit)
    if form == "json":
        _write_json(outcome)
    else:
        _write(outcome, limit)
    return Exit.FOUND if outcome.differences else Exit.DONE


def examine(target: Target, page_size: int, limit: int) -> Outcome:
    """Return the differences between a copy of the store, brought up to date, and the directory.

    Raises:
        StoreError: the store can't be read, or can't be copied.
        SyncreplError, ldap.LDAPError: as ``Syncrepl`` and its methods.
    """
    with _interruptible(), _copy(target.data_path or "") as (directory, origin):
        arguments = {
            **target.arguments,
            "data_path": directory,
            "mode": SyncreplMode.REFRESH_ONLY,
            "reconcile_every": math.inf,
            "lag_patience": 0.0,  # nothing is deleted but in the copy
        }
        callback = CatchUpCallback()
        with _caught_up(callback, arguments) as client:
            differences = client.verify(page_size, limit)
            entries, reconciled = len(client.store), client.store.origin.reconciled
        if differences:
            differences = _unexplained(differences, arguments, page_size, limit)
        lasting = _lasting(differences, arguments, page_size, limit) if differences else []
        afresh = None
        if reconciled != origin.reconciled:
            afresh = callback.doubt or "the state has no cookie"
        return Outcome(differences, entries, callback.changes, afresh, lasting)


def _unexplained(
    differences: "list[Difference]", arguments: "dict[str, Any]", page_size: int, limit: int
) -> "list[Difference]":
    """Return those of *differences* that no change explains, and that still exist.

    The client receives all changes that were made before it starts, so also those just before the
    comparison.  Differences of entries that are modified all the time are explained by that.  A
    change that was reverted is not reported to the client, and the difference no longer exists.
    """
    callback = CatchUpCallback(differences)
    with _caught_up(callback, arguments) as client:
        if not callback.suspects:
            return []
        again = set(client.verify(page_size, 2 * limit))  # others may come first
    return [each for each in callback.suspects.values() if each in again]


def _lasting(
    differences: "list[Difference]", arguments: "dict[str, Any]", page_size: int, limit: int
) -> "list[Difference]":
    """Return those of *differences* that are there after a refresh without a cookie, too.

    A server may answer the two kinds of search differently, and always will: slapd with its overlay
    valsort, for example.
    """
    without_guard = {**arguments, "max_deletes": None}  # nothing is deleted but in the copy
    with _caught_up(CatchUpCallback(), without_guard) as client:
        client.reconcile()
        client.run()
        again = {each.dn: each for each in client.verify(page_size, 2 * limit)}
    return [each for each in differences if again.get(each.dn) == each]


@contextmanager
def _caught_up(callback: CatchUpCallback, arguments: "dict[str, Any]") -> "Iterator[Syncrepl]":
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
    """Handle SIGTERM and SIGHUP like SIGINT, so that the copy is removed."""
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
def _copy(data_path: DataPath) -> "Iterator[tuple[str, Origin]]":
    try:
        directory = tempfile.TemporaryDirectory(prefix="syncrepl-verify-")
    except OSError as error:
        raise StoreError(f"there is no room for a copy of the state: {error}") from error
    with directory as name:
        logger.info("copying the state to %s", name)
        where = os.path.join(name, "")
        with read_store(data_path) as reader:
            reader.copy(file_name(where))
            origin = reader.origin
        with closing(open_store("sqlite", where)) as copy:
            # What it knows would have a client find by itself what is to be shown.
            copy.begin()
            copy.commit(copy.origin._replace(known=None))
        yield where, origin


# --- output


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
    if outcome.lasting:
        number = len(outcome.lasting)
        what = "They stay" if number == count else "1 stays" if number == 1 else f"{number} stay"
        report.text(
            f"{what} after a refresh of all entries, so reconcile does not help: the server "
            "answers content synchronization and an ordinary search differently, as slapd does "
            "with the overlay valsort. Leave these attributes out of the search, if you can."
        )
    if len(outcome.lasting) < count:
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
        write_json({**_members(each), "lasting": each in outcome.lasting})
    summary = {
        "kind": "summary",
        "entries": outcome.entries,
        "differences": len(outcome.differences),
        "lasting": len(outcome.lasting),
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
