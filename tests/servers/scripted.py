# SPDX-License-Identifier: BSD-3-Clause
"""A provider that plays a script: it says what real servers can't be made to say.

It speaks just enough LDAP over a loopback socket: bind, root DSE, schema, a refusal of
StartTLS, and for each content synchronization search the next of its scripts: a list of
items made by the functions below. What the client asked is written down.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Union

from tests.patience import HANGS_SECONDS
from tests.servers.process import LOOPBACK

SYNC_REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO = "1.3.6.1.4.1.4203.1.9.1.4"
PAGED_RESULTS = "1.2.840.113556.1.4.319"
CANCEL = "1.3.6.1.1.8"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
START_TLS = "1.3.6.1.4.1.1466.20037"

PRESENT, ADD, MODIFY, DELETE = range(4)
SUCCESS, PROTOCOL_ERROR, NO_SUCH_OBJECT, UNWILLING, CANCELED = 0, 2, 32, 53, 118
REFRESH_REQUIRED = 4096
STRANGER = b"rid=000,csn=20000101000000.000000Z#000000#ffe#000000"

Text = Union[str, bytes]

ROOT_DSE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "openldap": {"objectClass": ["top", "OpenLDAProotDSE"]},
    "389": {"objectClass": ["top"], "vendorName": ["389 Project"]},
    "other": {"objectClass": ["top"]},
}
# Of servers that can't be followed: what they said when they were asked, shortened.
FOREIGN_ROOT_DSE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "apacheds": {
        "objectClass": ["top", "extensibleObject"],
        "vendorName": ["Apache Software Foundation"],
        "vendorVersion": ["2.0.0.AM26"],
        "supportedControl": ["1.2.840.113556.1.4.319", SYNC_REQUEST, SYNC_STATE, SYNC_DONE],
        "supportedExtension": [START_TLS, WHO_AM_I],
    },
    "samba": {
        "vendorName": ["Samba Team (https://www.samba.org)"],
        "namingContexts": ["DC=example,DC=com", "CN=Configuration,DC=example,DC=com"],
        "supportedCapabilities": ["1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1670"],
        "supportedControl": ["1.2.840.113556.1.4.319", "1.2.840.113556.1.4.841"],
    },
    "active directory": {
        "supportedCapabilities": ["1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1670"],
        "supportedControl": ["1.2.840.113556.1.4.319", "1.2.840.113556.1.4.841"],
    },
    "ldaptor": {
        "supportedLDAPVersion": ["3"],
        "namingContexts": ["dc=com"],
        "supportedExtension": ["1.3.6.1.4.1.4203.1.11.1"],
    },
}

# --- BER: what is needed of it


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element with its length."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def octets(value: Text, tag: int = 0x04) -> bytes:
    return tlv(tag, value.encode() if isinstance(value, str) else value)


def number(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def enumerated(value: int) -> bytes:
    return number(value, 0x0A)


def boolean(value: bool) -> bytes:
    return tlv(0x01, b"\xff" if value else b"\0")


def optional_cookie(cookie: bytes | None) -> bytes:
    return b"" if cookie is None else octets(cookie)


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of all elements in a row."""
    while data:
        tag, content, data = split(data)
        yield tag, content


def split(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first element, and what follows it."""
    size, start = data[1], 2
    if size & 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + size], data[start + size :]


def is_whole(data: bytes) -> bool:
    """Whether a whole element has arrived."""
    if len(data) < 2 or (data[1] & 0x80 and len(data) < 2 + (data[1] & 0x7F)):
        return False
    size = data[1] if data[1] < 0x80 else int.from_bytes(data[2 : 2 + (data[1] & 0x7F)], "big")
    start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    return len(data) >= start + size


def envelope(message_id: int, operation: bytes, controls: bytes = b"") -> bytes:
    """An LDAPMessage."""
    return tlv(0x30, number(message_id), operation, tlv(0xA0, controls) if controls else b"")


def control(oid: Text, value: bytes | None) -> bytes:
    return tlv(0x30, octets(oid), b"" if value is None else octets(value))


def result(tag: int, code: int, text: str = "", extra: bytes = b"") -> bytes:
    """An LDAPResult."""
    return tlv(tag, enumerated(code), octets(""), octets(text), extra)


def attributes(attrs: Mapping[str, Iterable[Text]]) -> bytes:
    """A PartialAttributeList."""
    return tlv(
        0x30,
        *(
            tlv(0x30, octets(name), tlv(0x31, *(octets(value) for value in values)))
            for name, values in attrs.items()
        ),
    )


# --- what scripts are made of


class Message(NamedTuple):
    """A protocol operation, and its controls."""

    operation: bytes
    controls: bytes = b""


class Raw(NamedTuple):
    """Bytes, sent as they are."""

    data: bytes


class Drip(NamedTuple):
    """A message, byte by byte."""

    message: Message
    seconds: float = 0.001


class Half(NamedTuple):
    """The first half of a message. Nothing but its Rest can follow on the wire."""

    message: Message


class Rest(NamedTuple):
    """The second half of a message."""

    message: Message


class Flood(NamedTuple):
    """Entries without end."""

    state: int = ADD


class Close(NamedTuple):
    """The end of the connection."""


class Pause:
    """The script stops here until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()

    def go_on(self) -> None:
        """Let the script go on."""
        self._go.set()

    def wait(self) -> None:
        self.reached.set()
        self._go.wait()


Item = Union[Message, Raw, Drip, Half, Rest, Flood, Close, Pause]


def uuid(value: int) -> bytes:
    """A made-up entryUUID."""
    return value.to_bytes(16, "big")


def dn(value: int) -> str:
    """A made-up DN."""
    return f"uid=u{value},dc=example,dc=com"


def sync_state(state: int, identity: bytes, cookie: bytes | None = None) -> bytes:
    return tlv(0x30, enumerated(state), octets(identity), optional_cookie(cookie))


def entry(
    name: Text,
    attrs: Mapping[str, Iterable[Text]],
    state: int = ADD,
    identity: bytes = uuid(1),
    cookie: bytes | None = None,
) -> Message:
    """A SearchResultEntry with its Sync State Control."""
    return bare_entry(name, attrs, control(SYNC_STATE, sync_state(state, identity, cookie)))


def bare_entry(
    name: Text,
    attrs: Mapping[str, Iterable[Text]],
    controls: bytes = b"",
) -> Message:
    """A SearchResultEntry with whatever controls."""
    return Message(tlv(0x64, octets(name), attributes(attrs)), controls)


def person(value: int, mark: str = "", state: int = ADD, cookie: bytes | None = None) -> Message:
    """A made-up entry; the mark is in an attribute."""
    attrs = {"uid": [f"u{value}"], "description": [mark or "first"]}
    return entry(dn(value), {} if state in (PRESENT, DELETE) else attrs, state, uuid(value), cookie)


def reference(
    urls: Iterable[Text],
    state: int = ADD,
    identity: bytes = uuid(1),
    cookie: bytes | None = None,
) -> Message:
    """A SearchResultReference with its Sync State Control."""
    value = sync_state(state, identity, cookie)
    return Message(tlv(0x73, *(octets(url) for url in urls)), control(SYNC_STATE, value))


def intermediate(oid: str, value: bytes | None) -> Message:
    """An IntermediateResponse."""
    content = b"" if value is None else octets(value, 0x81)
    return Message(tlv(0x79, octets(oid, 0x80), content))


def idset(uuids: Iterable[bytes], deletes: bool = False, cookie: bytes | None = None) -> Message:
    """A syncIdSet."""
    flag = boolean(True) if deletes else b""
    members = tlv(0x31, *(octets(identity) for identity in uuids))
    return intermediate(SYNC_INFO, tlv(0xA3, optional_cookie(cookie), flag, members))


def newcookie(cookie: bytes) -> Message:
    """A newcookie."""
    return intermediate(SYNC_INFO, octets(cookie, 0x80))


def refresh_delete(cookie: bytes | None = None, done: bool = True) -> Message:
    """A refreshDelete."""
    return _phase_end(0xA1, cookie, done)


def refresh_present(cookie: bytes | None = None, done: bool = True) -> Message:
    """A refreshPresent."""
    return _phase_end(0xA2, cookie, done)


def _phase_end(tag: int, cookie: bytes | None, done: bool) -> Message:
    flag = b"" if done else boolean(False)
    return intermediate(SYNC_INFO, tlv(tag, optional_cookie(cookie), flag))


def done(
    code: int = SUCCESS,
    deletes: bool = False,
    cookie: bytes | None = None,
    sync_done: bool = True,
    text: str = "",
) -> Message:
    """A SearchResultDone, with or without its Sync Done Control."""
    flag = boolean(True) if deletes else b""
    value = control(SYNC_DONE, tlv(0x30, optional_cookie(cookie), flag))
    return Message(result(0x65, code, text), value if sync_done else b"")


def found(value: int, mark: str = "") -> Message:
    """A made-up entry as an ordinary search finds it; the same as person()."""
    return bare_entry(dn(value), {"uid": [f"u{value}"], "description": [mark or "first"]})


def page_end(cookie: bytes | None = b"", code: int = SUCCESS, text: str = "") -> Message:
    """A SearchResultDone with a paged results control; None: without."""
    value = tlv(0x30, number(0), octets(cookie or b""))
    return Message(
        result(0x65, code, text), b"" if cookie is None else control(PAGED_RESULTS, value)
    )


def notice(code: int) -> Raw:
    """A Notice of Disconnection."""
    name = octets("1.3.6.1.4.1.1466.20036", 0x8A)
    return Raw(envelope(0, result(0x78, code, "", name)))


# --- what it writes down


@dataclass(frozen=True)
class SyncSearch:
    """A search with a Sync Request Control, as it was received."""

    base: str
    scope: int
    deref: int
    filter: bytes
    attributes: tuple[str, ...]
    critical: bool
    mode: int
    cookie: bytes | None
    reload_hint: bool


@dataclass
class Bind:
    """A bind, as it was received."""

    name: str
    password: bytes


class Heard:
    """What was received, in order; others can wait for something."""

    def __init__(self) -> None:
        self._what: list[str] = []
        self._changed = threading.Condition()

    def add(self, what: str) -> None:
        with self._changed:
            self._what.append(what)
            self._changed.notify_all()

    def count(self, what: str) -> int:
        with self._changed:
            return self._what.count(what)

    def wait(self, what: str, times: int = 1) -> None:
        """Wait until *what* was heard so often."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._what.count(what) >= times, HANGS_SECONDS):
                raise AssertionError(f"the client never sent {what}; it sent {self._what}")

    def __contains__(self, what: object) -> bool:
        with self._changed:
            return what in self._what

    def __repr__(self) -> str:
        return repr(self._what)


# --- the provider


@dataclass
class Settings:
    """How a provider behaves apart from its scripts."""

    kind: str = "openldap"
    knows_sync: bool = True
    knows_cancel: bool = True
    answers_cancel: bool = True
    bind_result: int | None = SUCCESS
    """None: a bind is not answered."""
    bind_text: str = ""
    lets_nobody_in: bool = False
    """An anonymous bind succeeds, whatever others get."""
    starttls_result: int = PROTOCOL_ERROR
    root_dse_result: int | None = SUCCESS
    """None: a reading of the root DSE is not answered."""
    unknown_operation: tuple[int, str] = (PROTOCOL_ERROR, "")
    """How an extended operation is refused that is not known."""
    context: bytes | None = None
    """The cookie that answers a cookie of a server that nobody has; None: an error does."""
    root_dse_flood: Message | None = None
    """A reading of the root DSE is answered by this without end."""
    identity: str | None = None
    """The answer to "Who am I?"; None: the operation is not known."""
    answers_who_am_i: bool = True
    last_change: int | None = None
    """What 389-ds's root DSE says of its changelog."""
    attribute_types: Sequence[str] = ()
    """Attribute type descriptions in the subschema."""
    entries: Mapping[str, Message | list[Message]] = field(default_factory=dict)
    """What searches without any control find, by their base."""
    ignores: Container[str] = ()
    """DNs of entries whose reading is not answered."""
    hides: Container[str] = ()
    """DNs of entries that 389-ds tells of, but does not show when they are read again."""


class Provider:
    """A provider on a free port: ``with Provider([...], [...]) as provider: ...``."""

    def __init__(self, *scripts: Iterable[Item], **settings: object) -> None:
        """Play *scripts*, one a search; *settings* are those of Settings."""
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.heard = Heard()
        self.binds: list[Bind] = []
        self.searches: list[SyncSearch] = []
        self.pages: list[tuple[int, bytes]] = []
        """Size and cookie of each page that was asked for."""
        self._told: dict[str, tuple[bytes, bytes]] = {}
        self._scripts = [list(script) for script in scripts]
        self._page_scripts: list[list[Item]] = []
        self._lock = threading.Lock()
        self._sessions: list[_Session] = []
        self._closed = False
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ldap://{LOOPBACK}:{self.port}"
        self._thread = threading.Thread(target=self._accept, name="provider")

    def play(self, *items: Item) -> None:
        """Add a script, for the search after those that have one."""
        with self._lock:
            self._scripts.append(list(items))

    def play_page(self, *items: Item) -> None:
        """Add a script for the next search that wants a page; unplayed, it isn't answered."""
        with self._lock:
            self._page_scripts.append(list(items))

    def next_page(self) -> list[Item]:
        with self._lock:
            return self._page_scripts.pop(0) if self._page_scripts else []

    def tell(self, message: Message) -> None:
        """Have an entry that 389-ds tells of be what a search for it finds from now on."""
        if self.settings.kind == "389" and message.operation[0] == 0x64:
            with contextlib.suppress(ValueError, IndexError), self._lock:  # it may be malformed
                self._remember(message)

    def _remember(self, message: Message) -> None:
        (_, name), (_, attrs) = elements(split(message.operation)[1])
        [(_, content)] = elements(message.controls)
        *_, (_, value) = elements(content)
        (_, state), (_, identity), *_ = elements(split(value)[1])
        self._told = {at: told for at, told in self._told.items() if told[0] != identity}
        if state[0] in (ADD, MODIFY):
            self._told[name.decode().lower()] = identity, attrs

    def told(self, name: str) -> Message | None:
        """Return the entry *name* as it was told last, with its nsUniqueId."""
        with self._lock:
            identity, attrs = self._told.get(name.lower(), (b"", b""))
        if not identity or name in self.settings.hides:
            return None
        unique = split(attributes({"nsUniqueId": [identity.hex()]}))[1]
        return Message(tlv(0x64, octets(name), tlv(0x30, attrs, unique)))

    def next_script(self) -> list[Item]:
        with self._lock:
            if self._scripts:
                return self._scripts.pop(0)
        return [done(UNWILLING, sync_done=False, text="the provider has no script left")]

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, self.port)).close()  # ends accept()
        self._thread.join()
        self._listener.close()
        for session in self._sessions:
            session.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closed:
                connection.close()
                return
            self._sessions.append(_Session(self, connection))


class _Search:
    """A search that goes on, in a thread of its own."""

    def __init__(self, session: _Session, message_id: int, script: list[Item]) -> None:
        self._session = session
        self.message_id = message_id
        self._script = script
        self._ended = threading.Event()
        self._pauses = [item for item in script if isinstance(item, Pause)]
        self.thread = threading.Thread(target=self._play, name="script")

    def end(self) -> bool:
        """End it; say whether it went on."""
        went_on = not self._ended.is_set()
        self._ended.set()
        for pause in self._pauses:
            pause.go_on()
        return went_on

    def _play(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone
            for item in self._script:
                if isinstance(item, Message):
                    self._session.provider.tell(item)
                for data in self._bytes(item):
                    if not self._session.send(data, unless=self._ended):
                        return
                if isinstance(item, Message) and item.operation[0] == 0x65:
                    self._ended.set()

    def _bytes(self, item: Item) -> Iterator[bytes]:
        if isinstance(item, Message):
            yield self._whole(item)
        elif isinstance(item, Raw):
            yield item.data
        elif isinstance(item, Half):
            self._session.in_mid_message = True
            whole = self._whole(item.message)
            yield whole[: len(whole) // 2]
        elif isinstance(item, Rest):
            whole = self._whole(item.message)
            yield whole[len(whole) // 2 :]
            self._session.in_mid_message = False
        elif isinstance(item, Drip):
            self._session.in_mid_message = True
            for octet in self._whole(item.message):
                yield bytes((octet,))
                self._ended.wait(item.seconds)
            self._session.in_mid_message = False
        elif isinstance(item, Flood):
            value = 1000
            while True:
                value += 1
                yield self._whole(person(value, state=item.state))
        elif isinstance(item, Pause):
            item.wait()
        else:
            self._session.shut()

    def _whole(self, message: Message) -> bytes:
        return envelope(self.message_id, message.operation, message.controls)


class _Session:
    """One connection: a thread reads, and each search has one that writes.

    While a message stands half sent, nothing is answered: the network is stuck.
    """

    def __init__(self, provider: Provider, connection: socket.socket) -> None:
        self.in_mid_message = False
        self.provider = provider
        self._socket = connection
        self._sending = threading.Lock()
        self._searches: dict[int, _Search] = {}
        self._reader = threading.Thread(target=self._read, name="session")
        self._reader.start()

    def close(self) -> None:
        self.shut()
        self._reader.join()

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, data: bytes, unless: threading.Event | None = None) -> bool:
        """Send *data*; not where *unless* is set.  Say whether it was sent."""
        with self._sending:
            if unless is not None and unless.is_set():
                return False
            self._socket.sendall(data)
            return True

    def _answer(self, message_id: int, operation: bytes) -> None:
        if not self.in_mid_message:
            self.send(envelope(message_id, operation))

    def _read(self) -> None:
        with self._socket:
            with contextlib.suppress(OSError):
                self._serve()
            for search in self._searches.values():
                search.end()
            self.shut()
            for search in self._searches.values():
                search.thread.join()

    def _serve(self) -> None:
        buffered = b""
        while True:
            received = self._socket.recv(65536)
            if not received:
                self.provider.heard.add("close")
                return
            buffered += received
            while is_whole(buffered):
                _, content, buffered = split(buffered)
                if not self._handle(list(elements(content))):
                    return

    def _handle(self, message: list[tuple[int, bytes]]) -> bool:
        message_id = int.from_bytes(message[0][1], "big")
        tag, operation = message[1]
        if tag == 0x60:
            self._bind(message_id, operation)
        elif tag == 0x63:
            controls = message[2][1] if len(message) > 2 else b""
            self._search(message_id, operation, controls)
        elif tag == 0x50:
            abandoned = int.from_bytes(operation, "big")
            of_search = abandoned in self._searches
            self.provider.heard.add("abandon" if of_search else "abandon of something else")
            self._end_search(abandoned)
        elif tag == 0x77:
            self._extended(message_id, operation)
        elif tag == 0x42:
            self.provider.heard.add("unbind")
            return False
        return True

    def _bind(self, message_id: int, operation: bytes) -> None:
        _, (_, name), (_, password) = elements(operation)
        self.provider.binds.append(Bind(name.decode(), password))
        self.provider.heard.add("bind")
        settings = self.provider.settings
        code = SUCCESS if settings.lets_nobody_in and not name else settings.bind_result
        if code is not None:
            self._answer(message_id, result(0x61, code, settings.bind_text))

    def _end_search(self, message_id: int) -> bool:
        search = self._searches.get(message_id)
        return search is not None and search.end()

    def _extended(self, message_id: int, operation: bytes) -> None:
        fields = dict(elements(operation))
        oid, settings = fields[0x80].decode(), self.provider.settings
        code, text = settings.unknown_operation
        if oid == START_TLS:
            self.provider.heard.add("starttls")
            code, text = settings.starttls_result, ""
        elif oid == WHO_AM_I and settings.identity is not None:
            self.provider.heard.add("who am I")
            if settings.answers_who_am_i:
                value = octets(settings.identity, 0x8B)
                self._answer(message_id, result(0x78, SUCCESS, "", value))
            return
        elif oid == CANCEL:
            self.provider.heard.add("cancel")
            if not settings.answers_cancel:
                return
            [(_, content)] = elements(fields[0x81])
            [(_, target)] = elements(content)
            canceled = int.from_bytes(target, "big")
            code, text = SUCCESS if self._end_search(canceled) else 119, ""  # noSuchOperation
            if code == SUCCESS:
                self._answer(canceled, result(0x65, CANCELED))
        self._answer(message_id, result(0x78, code, text))

    def _search(self, message_id: int, operation: bytes, controls: bytes) -> None:
        fields = list(elements(operation))
        base = fields[0][1].decode()
        asked = _sync_search(operation, controls)
        if asked is not None and asked.cookie == STRANGER:
            context = self.provider.settings.context
            answer = done(NO_SUCH_OBJECT) if context is None else done(cookie=context)
            self._play(message_id, [answer])
            return
        if asked is not None:
            self.provider.searches.append(asked)
            self._play(message_id, self.provider.next_script())
            self.provider.heard.add("search")
            return
        page = _page_request(controls)
        if page is not None:
            self.provider.pages.append(page)
            self._play(message_id, self.provider.next_page())
            self.provider.heard.add("page")
            return
        settings = self.provider.settings
        if base == "":
            self.provider.heard.add("root DSE")
            while settings.root_dse_flood is not None:
                self._answer(message_id, settings.root_dse_flood.operation)
            if settings.root_dse_result == SUCCESS:
                self._found(message_id, "", _root_dse(settings))
            elif settings.root_dse_result is not None:
                self._answer(message_id, result(0x65, settings.root_dse_result))
        elif base == "cn=schema":
            types = settings.attribute_types
            self._found(message_id, base, {"attributeTypes": types} if types else {})
        elif base in settings.ignores:
            self.provider.heard.add("read that is ignored")
        elif base in settings.entries:
            found = settings.entries[base]
            for each in [found] if isinstance(found, Message) else found:
                self._answer(message_id, each.operation)
            self._answer(message_id, result(0x65, SUCCESS))
            self.provider.heard.add("read")
        elif _rereads(fields[7][1]) and (told := self.provider.told(base)) is not None:
            self._answer(message_id, told.operation)
            self._answer(message_id, result(0x65, SUCCESS))
        else:
            self._answer(message_id, result(0x65, NO_SUCH_OBJECT))

    def _play(self, message_id: int, script: list[Item]) -> None:
        search = _Search(self, message_id, script)
        self._searches[message_id] = search
        search.thread.start()

    def _found(self, message_id: int, name: str, attrs: Mapping[str, Sequence[str]]) -> None:
        self._answer(message_id, bare_entry(name, attrs).operation)
        self._answer(message_id, result(0x65, SUCCESS))


def _root_dse(settings: Settings) -> dict[str, Sequence[str]]:
    if settings.kind in FOREIGN_ROOT_DSE:
        return dict(FOREIGN_ROOT_DSE[settings.kind])
    numbers = {} if settings.last_change is None else {"lastChangeNumber": [settings.last_change]}
    extensions = [CANCEL] if settings.knows_cancel else ["1.3.6.1.4.1.4203.1.11.1"]
    return {
        **ROOT_DSE[settings.kind],
        **{name: [str(value) for value in values] for name, values in numbers.items()},
        "supportedControl": [SYNC_REQUEST] if settings.knows_sync else ["1.2.840.113556.1.4.319"],
        "supportedExtension": [*extensions, *([] if settings.identity is None else [WHO_AM_I])],
        "subschemaSubentry": ["cn=schema"],
    }


def _rereads(names: bytes) -> bool:
    """Whether a search asks for the nsUniqueId: so the client reads again what it was told."""
    return b"nsuniqueid" in (name.lower() for _, name in elements(names))


def _page_request(controls: bytes) -> tuple[int, bytes] | None:
    for _, content in elements(controls):
        (_, oid), *_, (_, value) = elements(content)
        if oid.decode() == PAGED_RESULTS:
            [(_, request)] = elements(value)
            (_, size), (_, cookie) = elements(request)
            return int.from_bytes(size, "big"), cookie
    return None


def _sync_search(operation: bytes, controls: bytes) -> SyncSearch | None:
    for _, content in elements(controls):
        fields = dict(elements(content))
        (_, oid), *_ = elements(content)
        if oid.decode() != SYNC_REQUEST:
            continue
        critical = fields.get(0x01, b"\0") != b"\0"
        *_, (_, value) = elements(content)
        [(_, request)] = elements(value)
        parts = dict(elements(request))
        base, scope, deref, *_, (tag, matched), (_, names) = elements(operation)
        return SyncSearch(
            base=base[1].decode(),
            scope=scope[1][0],
            deref=deref[1][0],
            filter=tlv(tag, matched),
            attributes=tuple(name.decode() for _, name in elements(names)),
            critical=critical,
            mode=parts[0x0A][0],
            cookie=parts.get(0x04),
            reload_hint=parts.get(0x01, b"\0") != b"\0",
        )
    return None
