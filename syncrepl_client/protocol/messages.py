# SPDX-License-Identifier: BSD-3-Clause
"""The messages of RFC 4533, decoded.

UUIDs are 16 bytes, as on the wire; cookies are opaque bytes (RFC 4533, 2.1).
"""

from enum import IntEnum
from typing import NamedTuple, Optional, Union

from ..entries.attributes import Attributes


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
    """A syncIdSet: UUIDs of unchanged entries, or of deleted ones (``deletes``)."""

    uuids: tuple[bytes, ...]
    deletes: bool = False
    cookie: Optional[bytes] = None


class NewCookie(NamedTuple):
    """A newcookie: the cookie changed, and the content did not."""

    cookie: bytes


class PhaseEnd(NamedTuple):
    """A refreshPresent or refreshDelete (``deletes``); ``done``: it ends the refresh stage."""

    deletes: bool
    done: bool = True
    cookie: Optional[bytes] = None


class SyncDone(NamedTuple):
    """The Sync Done Control of a SearchResultDone."""

    deletes: bool = False
    cookie: Optional[bytes] = None


class Done(NamedTuple):
    """A SearchResultDone with the result success or canceled; ``control`` if it has one."""

    control: Optional[SyncDone]


class RefreshRequired(NamedTuple):
    """A SearchResultDone with e-syncRefreshRequired (4096, RFC 4533, 2.6), or an equivalent error.

    ``reason``: why the server refuses the cookie, if an administrator should know.
    """

    reason: Optional[str] = None


Message = Union[Entry, Reference, IdSet, NewCookie, PhaseEnd, Done, RefreshRequired]
