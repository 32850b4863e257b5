# SPDX-License-Identifier: BSD-3-Clause
"""The first half of the fast path: entries are prepared for :meth:`.Synchronization.receive_plain`.

It reads nothing from the store, so a group of entries is prepared before the entries that they are
compared with are read, in one go.
"""

from collections.abc import Sequence
from typing import Optional, Union

from ..entries import attributes, dn
from ..entries.attributes import Attributes
from ..entries.shapes import Shapes
from . import wire
from .facts import Plain, Request
from .messages import Entry, State
from .view import Record, View

_EXISTS = (State.ADD, State.MODIFY)


class Preparation:
    """Prepares the entries of one search.

    Attributes:
        excludes: says why an entry can't be in the answer: :meth:`.Extent.excludes`.
    """

    def __init__(self, request: Request, view: View, *, mends: bool) -> None:
        """Initialize for a search.

        Args:
            request: the search request.
            view: of the store, for its namesakes.
            mends: whether entries are completed from the store, so that none can be prepared.
        """
        self.excludes = request.extent.excludes
        self._selection = request.selection
        self._view = view
        self._mends = mends
        self._shapes = Shapes()

    def entry(
        self, name: str, attrs: Attributes, controls: Sequence[wire.RawControl]
    ) -> Union[Plain, Entry]:
        """Return an entry, as python-ldap hands it over, prepared if it can be.

        Args:
            name: its DN.
            attrs: its attributes, as they came.
            controls: its controls.

        Raises:
            ProtocolError: it is malformed.
        """
        blob = self._shapes.encode(attrs)
        if blob is None:
            return self.prepared(wire.entry(name, attrs, controls))
        state, uuid, cookie = wire.state_of(name, controls)
        plain = self._plain(name, attrs, attrs, state, uuid, cookie, blob)
        return plain or Entry(state, uuid, name, attrs, cookie)

    def prepared(self, message: Entry) -> Union[Plain, Entry]:
        """Return *message*, prepared if it can be."""
        state, uuid, name, sent, cookie = message
        attrs = self._selection.take(sent)
        if attrs is sent:
            self._shapes.learn(attrs)
        elif self._selection.blind:  # the result depends on the stored entry
            return message
        blob = attributes.encode(attrs)
        return self._plain(name, sent, attrs, state, uuid, cookie, blob) or message

    def _plain(
        self,
        name: str,
        sent: Attributes,
        attrs: Attributes,
        state: State,
        uuid: bytes,
        cookie: Optional[bytes],
        blob: bytes,
    ) -> Optional[Plain]:
        if state not in _EXISTS or self._mends:
            return None
        try:
            key = self._view.key(name) if self._view.namesakes else dn.key(name)
        except ValueError:  # of which Synchronization.receive() tells
            return None
        if not key or self.excludes(sent, key):
            return None
        record = tuple.__new__(Record, (uuid, key, name, blob))
        return tuple.__new__(Plain, (record, attrs, state, cookie))
