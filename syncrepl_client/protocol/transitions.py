# SPDX-License-Identifier: BSD-3-Clause
"""The state table: which message is allowed in which phase.  All others are protocol errors."""

from ..changes import Phase
from .messages import Done, Entry, IdSet, Message, NewCookie, PhaseEnd, Reference, State

_ENTRY, _PRESENT, _GONE, _COOKIE = "entry", "present", "gone", "newcookie"
_PRESENT_END, _DELETE_END, _REFRESH_END = "refreshPresent", "refreshDelete", "refreshDone"
_DONE, _REQUIRED = "searchResultDone", "e-syncRefreshRequired"

TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.REFRESH, _ENTRY): Phase.REFRESH,
    (Phase.REFRESH, _PRESENT): Phase.PRESENT,
    (Phase.REFRESH, _GONE): Phase.DELETE,
    (Phase.REFRESH, _COOKIE): Phase.REFRESH,
    (Phase.REFRESH, _PRESENT_END): Phase.DELETE,
    (Phase.REFRESH, _DELETE_END): Phase.DELETE,
    (Phase.REFRESH, _REFRESH_END): Phase.PERSIST,
    (Phase.REFRESH, _DONE): Phase.OVER,
    (Phase.REFRESH, _REQUIRED): Phase.OVER,
    (Phase.PRESENT, _ENTRY): Phase.PRESENT,
    (Phase.PRESENT, _PRESENT): Phase.PRESENT,
    (Phase.PRESENT, _COOKIE): Phase.PRESENT,
    (Phase.PRESENT, _PRESENT_END): Phase.DELETE,
    (Phase.PRESENT, _REFRESH_END): Phase.PERSIST,
    (Phase.PRESENT, _DONE): Phase.OVER,
    (Phase.PRESENT, _REQUIRED): Phase.OVER,
    (Phase.DELETE, _ENTRY): Phase.DELETE,
    (Phase.DELETE, _GONE): Phase.DELETE,
    (Phase.DELETE, _COOKIE): Phase.DELETE,
    (Phase.DELETE, _DELETE_END): Phase.DELETE,
    (Phase.DELETE, _REFRESH_END): Phase.PERSIST,
    (Phase.DELETE, _DONE): Phase.OVER,
    (Phase.DELETE, _REQUIRED): Phase.OVER,
    (Phase.PERSIST, _ENTRY): Phase.PERSIST,
    (Phase.PERSIST, _GONE): Phase.PERSIST,
    (Phase.PERSIST, _COOKIE): Phase.PERSIST,
    (Phase.PERSIST, _DONE): Phase.OVER,
    (Phase.PERSIST, _REQUIRED): Phase.OVER,
}
"""(phase, message) to next phase, after RFC 4533, 3.3 and 3.4."""

_BY_STATE = {
    State.PRESENT: _PRESENT,
    State.ADD: _ENTRY,
    State.MODIFY: _ENTRY,
    State.DELETE: _GONE,
}


def event(message: Message) -> str:
    """Return the name of *message* in :data:`TRANSITIONS`."""
    if isinstance(message, (Entry, Reference)):
        return _BY_STATE[message.state]
    if isinstance(message, IdSet):
        return _GONE if message.deletes else _PRESENT
    if isinstance(message, NewCookie):
        return _COOKIE
    if isinstance(message, PhaseEnd):
        if message.done:
            return _REFRESH_END
        return _DELETE_END if message.deletes else _PRESENT_END
    return _DONE if isinstance(message, Done) else _REQUIRED
