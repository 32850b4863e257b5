# SPDX-License-Identifier: BSD-3-Clause
"""What the server said: the messages of RFC 4533, decoded.

UUIDs are the 16 bytes of the wire, cookies are opaque bytes (RFC 4533, 2.1).
"""

from enum import IntEnum
from typing import NamedTuple, Optional, Union

Attributes = dict[str, list[bytes]]
"""Attributes of an entry, by description as the server wrote it."""


class State(IntEnum):
    """The state of a Sync State Control (RFC 4533, 2.3)."""

    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


class Entry(NamedTuple):
    """A SearchResultEntry with its Sync State Control."""

    state: State
    uuid: bytes
    dn: str
    attrs: Attributes
    cookie: Optional[bytes] = None


class Reference(NamedTuple):
    """A SearchResultReference with its Sync State Control; it has no DN."""

    state: State
    uuid: bytes
    urls: tuple[str, ...]
    cookie: Optional[bytes] = None


class IdSet(NamedTuple):
    """A syncIdSet: entries that are unchanged, or (``deletes``) gone."""

    uuids: tuple[bytes, ...]
    deletes: bool = False
    cookie: Optional[bytes] = None


class NewCookie(NamedTuple):
    """A newcookie: nothing in the content changed, but the cookie did."""

    cookie: bytes


class PhaseEnd(NamedTuple):
    """A refreshPresent, or (``deletes``) refreshDelete; ``done`` ends the refresh stage too."""

    deletes: bool
    done: bool = True
    cookie: Optional[bytes] = None


class SyncDone(NamedTuple):
    """The Sync Done Control of a SearchResultDone."""

    deletes: bool = False
    cookie: Optional[bytes] = None


class Done(NamedTuple):
    """A SearchResultDone with result success (or canceled); ``control`` where it had one."""

    control: Optional[SyncDone]


class RefreshRequired(NamedTuple):
    """A SearchResultDone with e-syncRefreshRequired (4096, RFC 4533, 2.6), or what stands for it.

    ``reason``: why the server refuses the cookie, where it is one that somebody should know of.
    """

    reason: Optional[str] = None


Message = Union[Entry, Reference, IdSet, NewCookie, PhaseEnd, Done, RefreshRequired]
