# SPDX-License-Identifier: BSD-3-Clause
"""What a search asks, and what follows from its answer."""

from collections.abc import Iterator
from typing import NamedTuple, Optional, Union

from ..entries.attributes import Attributes
from ..entries.selection import Selection
from .dialect import Dialect
from .extent import Extent
from .guard import Limit, Tally
from .knowledge import Knowledge
from .messages import Entry, State
from .placement import Step
from .view import Record


class Request(NamedTuple):
    """The search request, as far as the meaning of the answer depends on it.

    Attributes:
        dialect: the server's.
        extent: which entries the search can find.
        cookie: the cookie that was sent; None for a search that starts over.
        selection: the attribute list.
        max_deletes: how many entries of the store the refresh may delete.
        tally: the deletes of earlier searches of the same refresh; None if this is the first.
        stored: the changes that the store has, all of which the server must have; None: no check.
        doubt: why the deletes of this refresh can't be accepted; None if they can.
    """

    dialect: Dialect
    extent: Extent
    cookie: Optional[bytes] = None
    selection: Selection = Selection(("*", "+"))
    max_deletes: Limit = None
    tally: Optional[Tally] = None
    stored: Optional[Knowledge] = None
    doubt: Optional[str] = None


class Plain(NamedTuple):
    """An entry that needs no more than :meth:`.Synchronization.receive_plain`, and its record."""

    record: Record
    attrs: Attributes
    state: State
    cookie: Optional[bytes]

    @property
    def message(self) -> Entry:
        """The message, for :meth:`.Synchronization.receive`."""
        record, attrs, state, cookie = self
        return Entry(state, record.uuid, record.dn, attrs, cookie)


class Scanned:
    """The server sent what it found, and may have missed what moved meanwhile.

    Attributes:
        unnamed: the stored entries that it did not name, which are deleted next.
    """

    def __init__(self, unnamed: Iterator[Record]) -> None:
        """Initialize."""
        self.unnamed = unnamed


class RefreshDone:
    """The refresh stage is over: the store equals the server's answer."""


class StartOver(NamedTuple):
    """The search must be sent again without a cookie: the answer can't be completed.

    ``alarming``: an administrator should look at the server.
    """

    reason: str
    alarming: bool = False
    dialect: Optional[Dialect] = None
    """That of the server that answered, where another one was searched for."""


class NotTaken(NamedTuple):
    """The server sent an entry that is not part of the answer; *reason* says why."""

    dn: str
    reason: str


class Over:
    """The search is over."""

    def __repr__(self) -> str:
        return "Over()"


class Underway:
    """Nothing yet: the message takes its time, and may be given up here."""


Fact = Union[Step, NotTaken, Scanned, RefreshDone, StartOver, Over, Underway]
