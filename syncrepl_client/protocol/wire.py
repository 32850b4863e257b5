# SPDX-License-Identifier: BSD-3-Clause
"""Encoding and decoding: RFC 4533 messages, paged results (RFC 2696), requests.  Does no I/O.

BER as restricted by LDAP (RFC 4511, 5.1): definite lengths, one-byte tags.  No recursion, and no
allocation beyond slices of the input.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import ldap

from ..entries.attributes import Attributes
from ..exceptions import ProtocolError
from ..modes import SyncreplMode
from . import received
from .dialect import Refusal
from .messages import (
    Done,
    Entry,
    IdSet,
    Message,
    NewCookie,
    PhaseEnd,
    Reference,
    RefreshRequired,
    State,
    SyncDone,
)

SYNC_REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO = "1.3.6.1.4.1.4203.1.9.1.4"
CANCEL = "1.3.6.1.1.8"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
PAGED_RESULTS = "1.2.840.113556.1.4.319"
REFRESH_REQUIRED = 4096
"""e-syncRefreshRequired (RFC 4533, 2.6)."""

_BOOLEAN, _INTEGER, _OCTET_STRING, _ENUMERATED, _SEQUENCE, _SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3

_STATES = tuple(State)
_PLAIN_UUID = b"\x04\x10"
# SEQUENCE of 21 bytes { ENUMERATED of 1 byte, OCTET STRING of 16 }: there is no cookie.
_PLAIN_STATES = {b"\x30\x15\x0a\x01%c\x04\x10" % state: state for state in _STATES}

RawControl = tuple[str, int, Optional[bytes]]
SyncState = tuple[State, bytes, Optional[bytes]]
"""State, UUID and cookie."""


class RawResult(NamedTuple):
    """One message as python-ldap's C module returns it."""

    type: int
    data: Sequence[tuple[Any, ...]]
    controls: Sequence[RawControl]


class SearchEntry(NamedTuple):
    """An entry that a search without content synchronization returned."""

    dn: str
    attrs: Attributes


# --- to bytes


def sync_request(
    mode: SyncreplMode, cookie: Optional[bytes], *, reload_hint: bool = False
) -> bytes:
    """Return the value of a Sync Request Control (RFC 4533, 2.2)."""
    content = _encode(_ENUMERATED, bytes((mode.value,)))
    if cookie is not None:
        content += _encode(_OCTET_STRING, cookie)
    if reload_hint:
        content += _encode(_BOOLEAN, b"\xff")
    return _encode(_SEQUENCE, content)


def cancel_request(message_id: int) -> bytes:
    """Return the value of a Cancel request (RFC 3909, 2.1)."""
    return _encode(_SEQUENCE, _integer(message_id))


def paged_request(size: int, cookie: bytes) -> bytes:
    """Return the value of a paged results control (RFC 2696, 2) that asks for *size* entries."""
    return _encode(_SEQUENCE, _integer(size) + _encode(_OCTET_STRING, cookie))


def _integer(value: int) -> bytes:
    return _encode(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _encode(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


# --- from bytes


class _Reader:
    """Reads the elements between two offsets of a byte string, one after the other."""

    __slots__ = ("data", "end", "position", "what")

    def __init__(self, data: bytes, what: str, position: int = 0, end: Optional[int] = None):
        self.data = data
        self.what = what
        self.position = position
        self.end = len(data) if end is None else end

    def peek(self) -> Optional[int]:
        """Return the tag of the next element; None at the end."""
        return self.data[self.position] if self.position < self.end else None

    def _next(self, tag: int) -> tuple[int, int]:
        data, start, end = self.data, self.position, self.end
        if start + 2 > end:
            raise self.malformed("truncated")
        if data[start] != tag:
            raise self.malformed(f"tag {data[start]:#04x} where {tag:#04x} belongs")
        size, start = data[start + 1], start + 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or start + count > end:
                raise self.malformed("bad length")
            size, start = int.from_bytes(data[start : start + count], "big"), start + count
        if size > end - start:
            raise self.malformed("truncated")
        self.position = start + size
        return start, start + size

    def enter(self, tag: int) -> "_Reader":
        start, end = self._next(tag)
        return _Reader(self.data, self.what, start, end)

    def octets(self, tag: int = _OCTET_STRING) -> bytes:
        start, end = self._next(tag)
        return self.data[start:end]

    def enumerated(self) -> int:
        value = self.octets(_ENUMERATED)
        if len(value) != 1:
            raise self.malformed("bad ENUMERATED")
        return value[0]

    def uuid(self) -> bytes:
        value = self.octets()
        if not value:  # slapd with lastmod off, or an entry that an overlay made: cn=accesslog
            raise ProtocolError(
                "the server sent an entry that has no entryUUID: set 'lastmod on' and load the "
                "entry anew, or keep it out of the search by the base or the filter"
            )
        if len(value) != 16:
            raise self.malformed(f"a UUID of {len(value)} bytes")
        return value

    def uuids(self) -> tuple[bytes, ...]:
        """Read UUIDs up to the end."""
        data = self.data[self.position : self.end]
        count, rest = divmod(len(data), 18)
        if not rest and data[::18] == b"\x04" * count and data[1::18] == b"\x10" * count:
            self.position = self.end
            return tuple([data[start : start + 16] for start in range(2, len(data), 18)])
        uuids: list[bytes] = []
        while self.position < self.end:
            uuids.append(self.uuid())
        return tuple(uuids)

    def optional_cookie(self) -> Optional[bytes]:
        return self.octets() if self.peek() == _OCTET_STRING else None

    def optional_boolean(self, default: bool) -> bool:
        if self.peek() != _BOOLEAN:
            return default
        value = self.octets(_BOOLEAN)
        if len(value) != 1:
            raise self.malformed("bad BOOLEAN")
        return value != b"\0"

    def close(self) -> None:
        if self.position != self.end:
            raise self.malformed("something follows where nothing belongs")

    def malformed(self, how: str) -> ProtocolError:
        return ProtocolError(f"the server sent a malformed {self.what}: {how}")


def sync_state(value: bytes) -> SyncState:
    """Decode a syncStateValue (RFC 4533, 2.3) into state, UUID and cookie."""
    size = len(value)
    plain = _PLAIN_STATES.get(value[:7])
    if plain is not None and size == 23:
        return plain, value[7:], None
    cookie: Optional[bytes]
    if (
        25 <= size < 130
        and value[1:4] == bytes((size - 2, _ENUMERATED, 1))
        and value[5:7] == _PLAIN_UUID
        and value[23:25] == bytes((_OCTET_STRING, size - 25))
        and value[0] == _SEQUENCE
    ):
        number, uuid, cookie = value[4], value[7:23], value[25:]
    else:
        reader = _Reader(value, "Sync State Control")
        content = reader.enter(_SEQUENCE)
        reader.close()
        number = content.enumerated()
        uuid = content.uuid()
        cookie = content.optional_cookie()
        content.close()
    try:
        return _STATES[number], uuid, cookie
    except IndexError:
        raise ProtocolError(
            f"the server sent a Sync State Control with unknown state {number}"
        ) from None


def sync_done(value: bytes) -> SyncDone:
    """Decode a syncDoneValue (RFC 4533, 2.4)."""
    reader = _Reader(value, "Sync Done Control")
    content = reader.enter(_SEQUENCE)
    reader.close()
    cookie = content.optional_cookie()
    deletes = content.optional_boolean(False)
    content.close()
    return SyncDone(deletes, cookie)


def sync_info(value: bytes) -> Union[NewCookie, PhaseEnd, IdSet]:
    """Decode a syncInfoValue (RFC 4533, 2.5)."""
    reader = _Reader(value, "Sync Info Message")
    tag = reader.peek()
    if tag == _NEW_COOKIE:
        message: Union[NewCookie, PhaseEnd, IdSet] = NewCookie(reader.octets(_NEW_COOKIE))
    elif tag in (_REFRESH_DELETE, _REFRESH_PRESENT):
        content = reader.enter(tag)
        cookie = content.optional_cookie()
        done = content.optional_boolean(True)
        content.close()
        message = PhaseEnd(tag == _REFRESH_DELETE, done, cookie)
    elif tag == _ID_SET:
        content = reader.enter(_ID_SET)
        cookie = content.optional_cookie()
        deletes = content.optional_boolean(False)
        members = content.enter(_SET)
        content.close()
        message = IdSet(members.uuids(), deletes, cookie)
    else:
        raise reader.malformed("empty" if tag is None else f"unknown choice {tag:#04x}")
    reader.close()
    return message


def paged_cookie(value: bytes) -> bytes:
    """Decode the value of a paged results control into its cookie; empty after the last page."""
    reader = _Reader(value, "paged results control")
    content = reader.enter(_SEQUENCE)
    reader.close()
    content.octets(_INTEGER)  # how many entries there are, if the server cares to say
    cookie = content.octets()
    content.close()
    return cookie


# --- from python-ldap


def decode(raw: RawResult) -> Optional[Message]:
    """Decode a message from python-ldap; None for one that has nothing to do with this search.

    Raises:
        ProtocolError: it is malformed, and nothing of it may be used.
    """
    if raw.type == ldap.RES_SEARCH_ENTRY:
        return entry(*raw.data[0])
    if raw.type == ldap.RES_INTERMEDIATE:
        name, value, _ = raw.data[0]
        # An intermediate response that is not ours is to be ignored (RFC 4511, 4.13).
        return sync_info(value or b"") if name == SYNC_INFO else None
    if raw.type == ldap.RES_SEARCH_REFERENCE:
        _, urls, controls = raw.data[0]
        value = _value(controls, SYNC_STATE)
        if value is None:
            return None  # 389-ds, in a refresh: it has no UUID, so nothing can be kept of it
        state, uuid, cookie = sync_state(value)
        return Reference(state, uuid, tuple(urls), cookie)
    if raw.type == ldap.RES_SEARCH_RESULT:
        return Done(_done_control(raw.controls))
    raise ProtocolError(f"the server answered the search with a message of type {raw.type:#x}")


def entry(dn: str, attrs: Attributes, controls: Sequence[RawControl]) -> Entry:
    """Decode a SearchResultEntry from python-ldap.

    Raises:
        ProtocolError: it is malformed, or has no Sync State Control.
    """
    state, uuid, cookie = state_of(dn, controls)
    return tuple.__new__(Entry, (state, uuid, dn, received.checked(dn, attrs), cookie))


def state_of(dn: str, controls: Sequence[RawControl]) -> SyncState:
    """Decode the Sync State Control of the entry *dn*.

    Raises:
        ProtocolError: it is malformed, or there is none.
    """
    for oid, _, value in controls:
        if oid == SYNC_STATE:
            try:
                return sync_state(value or b"")
            except ProtocolError as error:
                raise ProtocolError(f"{error} (at {dn!r})") from None
    raise ProtocolError(f"the server sent entry {dn!r} without its Sync State Control")


def search_entry(raw: RawResult) -> SearchEntry:
    """Return the entry in a result of a search without content synchronization.

    Raises:
        ProtocolError: it is malformed.
    """
    name, attrs, _ = raw.data[0]
    return SearchEntry(name, received.checked(name, attrs))


def only_entry(raw: RawResult, before: Optional[SearchEntry]) -> SearchEntry:
    """Return the entry in a result of a search for one entry; *before* is the one before that.

    Raises:
        ProtocolError: it is malformed, or the second.
    """
    if before is not None:
        raise ProtocolError(f"the server found more than the one entry {before.dn!r}")
    return search_entry(raw)


def next_page(raw: RawResult) -> bytes:
    """Return the cookie to request the next page with; empty after the last page.

    Raises:
        ProtocolError: there is none, so the answer may be incomplete (RFC 2696, 3).
    """
    value = _value(raw.controls, PAGED_RESULTS)
    if value is not None:
        return paged_cookie(value)
    raise ProtocolError("the server ended a page without the paged results control (RFC 2696)")


def details_of(error: ldap.LDAPError) -> dict[str, Any]:
    """Return the details dict of a python-ldap exception; an empty one if it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {}


def decode_error(
    error: ldap.LDAPError, refusal: Optional[Refusal] = None
) -> Optional[RefreshRequired]:
    """Return the message that an error result stands for; None if it is an error.

    Args:
        error: the exception that python-ldap raised for the result.
        refusal: how this kind of server refuses a cookie; None if none was sent.
    """
    details = details_of(error)
    if details.get("msgtype") != ldap.RES_SEARCH_RESULT:
        return None
    if details.get("result") == REFRESH_REQUIRED:
        return RefreshRequired()
    if refusal is not None and details.get("result") == refusal.result:
        for text in refusal.texts:
            if text in details.get("info", ""):
                return RefreshRequired(f"{refusal.reason} ({refusal.result}, {text!r})")
    return None


def _value(controls: Sequence[RawControl], oid: str) -> Optional[bytes]:
    """Return the value of a control; None if it is absent."""
    for control, _, value in controls:
        if control == oid:
            return value or b""
    return None


def _done_control(controls: Sequence[RawControl]) -> Optional[SyncDone]:
    value = _value(controls, SYNC_DONE)
    return None if value is None else sync_done(value)
