# SPDX-License-Identifier: BSD-3-Clause
"""Shows which of the shortcomings listed in README.md the installed python-ldap has.

    python patches/reproduce.py           a line for each patch: present or mended
    python patches/reproduce.py NUMBER    one of them, in this process

Each one runs against a server on the loopback interface that is scripted, so that the odd
messages come when they should. Each gets a process of its own, as two of them can end it.
The exit status is 0 where all are mended, else 1.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import ldap
from ldap.ldapobject import SimpleLDAPObject
from ldap.syncrepl import SyncreplConsumer, SyncStateControl

UUID = bytes(range(16))
Script = Callable[[socket.socket, int], None]


# -- BER, as far as it is needed ----------------------------------------------------------


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    return bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body


def number(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def text(value: bytes) -> bytes:
    return tlv(0x04, value)


def control(oid: bytes, value: bytes) -> bytes:
    return tlv(0xA0, tlv(0x30, text(oid), text(value)))


def sync_state(cookie: bytes = b"") -> bytes:
    value = tlv(0x30, number(1, 0x0A), text(UUID), text(cookie) if cookie else b"")
    return control(b"1.3.6.1.4.1.4203.1.9.1.2", value)


def result(tag: int, code: int = 0) -> bytes:
    return tlv(tag, number(code, 0x0A), text(b""), text(b""))


def entry(*attributes: tuple[bytes, bytes]) -> bytes:
    pairs = [tlv(0x30, text(name), tlv(0x31, text(value))) for name, value in attributes]
    return tlv(0x64, text(b"cn=a,dc=example"), tlv(0x30, *pairs))


def message(msgid: int, operation: bytes, controls: bytes = b"") -> bytes:
    return tlv(0x30, number(msgid), operation, controls)


def read_message(stream: BinaryIO) -> tuple[int, int] | None:
    """The message's number and the tag of its operation, or None at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return None
    length = head[1]
    if length & 0x80:
        length = int.from_bytes(stream.read(length & 0x7F), "big")
    body = stream.read(length)
    end = 2 + body[1]
    return int.from_bytes(body[2:end], "big"), body[end]


# -- server and client --------------------------------------------------------------------


def serve(listener: socket.socket, script: Script) -> None:
    connection, _ = listener.accept()
    stream = connection.makefile("rb")
    while True:
        request = read_message(stream)
        if request is None:
            return
        msgid, tag = request
        if tag == 0x60:  # BindRequest
            connection.sendall(message(msgid, result(0x61)))
        elif tag == 0x63:  # SearchRequest
            try:
                script(connection, msgid)
            except OSError:  # the client has seen enough
                return


class Consumer(SyncreplConsumer, SimpleLDAPObject):  # type: ignore[misc]
    """Notes what it is told."""

    def __init__(self, script: Script) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(listener, script), daemon=True).start()
        SimpleLDAPObject.__init__(self, f"ldap://127.0.0.1:{listener.getsockname()[1]}")
        self.seen: dict[str, Any] = {"messages": 0}
        self.simple_bind_s()
        self.msgid = self.syncrepl_search("dc=example", ldap.SCOPE_SUBTREE)

    def result4(self, *args: Any, **kwargs: Any) -> Any:
        answer = SimpleLDAPObject.result4(self, *args, **kwargs)
        self.seen["messages"] += 1
        return answer

    def syncrepl_reference(self, urls: list[str], uuid: str) -> None:
        self.seen["reference"] = urls

    def syncrepl_entry(self, dn: str, attrs: dict[str, list[bytes]], uuid: str) -> None:
        self.seen["entry"] = attrs

    def syncrepl_stop(self) -> bool:
        return bool(self.seen["messages"] >= 3)


def sends(*messages: tuple[bytes, bytes]) -> Script:
    def script(connection: socket.socket, msgid: int) -> None:
        for operation, controls in messages:
            connection.sendall(message(msgid, operation, controls))

    return script


# -- one function for each patch: says what happened, and whether that is right ------------


def nameless_intermediate() -> tuple[bool, str]:
    consumer = Consumer(sends((tlv(0x79, tlv(0x81, b"value")), b"")))
    answer = consumer._l.result4(consumer.msgid, 0, 5, 1, 1, 1)
    return answer[1] == [(None, b"value", [])], repr(answer[1])


def cookie_octets() -> tuple[bool, str]:
    """Only documentation: shows that every octet survives, and looks for the sentence."""
    octets = bytes(range(256))
    decoded = SyncStateControl()
    value = tlv(0x30, number(1, 0x0A), text(UUID), text(octets))
    decoded.decodeControlValue(value)
    survives = decoded.cookie.encode("iso-8859-1") == octets
    documented = "iso-8859-1" in (SyncreplConsumer.syncrepl_set_cookie.__doc__ or "")
    return survives and documented, f"octets survive: {survives}, documented: {documented}"


def reference() -> tuple[bool, str]:
    consumer = Consumer(sends((tlv(0x73, text(b"ldap://other/")), sync_state())))
    consumer.syncrepl_poll(consumer.msgid, timeout=5)
    seen = consumer.seen.get("reference")
    return seen == ["ldap://other/"], f"syncrepl_reference: {seen}"


def busy_poll() -> tuple[bool, str]:
    def script(connection: socket.socket, msgid: int) -> None:
        for _ in range(100):
            connection.sendall(message(msgid, entry((b"cn", b"a")), sync_state()))
        connection.sendall(message(msgid, result(0x65)))

    consumer = Consumer(script)
    consumer.syncrepl_poll(consumer.msgid, timeout=5, all=1)
    count = consumer.seen["messages"]
    return count == 3, f"stop asked for after 3 messages, stopped after {count}"


def nothing_yet() -> tuple[bool, str]:
    consumer = Consumer(sends())
    try:
        answer = consumer.syncrepl_poll(consumer.msgid, timeout=0)
    except TypeError as error:
        return False, f"TypeError: {error}"
    return answer is True, f"syncrepl_poll returned {answer}"


def signalled() -> tuple[bool, str]:
    def script(connection: socket.socket, msgid: int) -> None:
        time.sleep(1.5)
        connection.sendall(message(msgid, result(0x65)))

    started = time.monotonic()
    handled: list[float] = []
    signal.signal(signal.SIGUSR1, lambda *_: handled.append(time.monotonic() - started))
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGUSR1)).start()
    consumer = Consumer(script)
    try:
        consumer._l.result4(consumer.msgid, 0, 5, 1, 1, 1)
    except ldap.SERVER_DOWN as error:
        return False, f"SERVER_DOWN, errno {error.args[0].get('errno')}"
    return handled[0] < 1, f"handler ran after {handled[0]:.1f} s, the message came after 1.5 s"


def decoding_speed() -> tuple[bool, str]:
    value = tlv(0x30, number(1, 0x0A), text(UUID))
    rounds = 2000
    started = time.perf_counter()
    for _ in range(rounds):
        decoded = SyncStateControl()
        decoded.decodeControlValue(value)
    each = (time.perf_counter() - started) / rounds * 1e6
    right = (decoded.state, decoded.cookie) == ("add", None)
    right = right and decoded.entryUUID == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    decoded.decodeControlValue(tlv(0x30, number(1, 0x0A), text(UUID), text(b"c")))
    right = right and decoded.cookie == "c"
    return right and each < 20, f"{each:.1f} microseconds each, decoded rightly: {right}"


def refresh_required() -> tuple[bool, str]:
    consumer = Consumer(sends((result(0x65, 4096), b"")))
    try:
        consumer.syncrepl_poll(consumer.msgid, timeout=5)
    except ldap.LDAPError as error:
        name = type(error).__name__
        return name == "SYNC_REFRESH_REQUIRED", f"ldap.{name}, {error.args[0]['result']}"
    return False, "no exception"


def attribute_twice() -> tuple[bool, str]:
    consumer = Consumer(sends((entry((b"cn", b"1"), (b"cn", b"2")), sync_state())))
    consumer.syncrepl_poll(consumer.msgid, timeout=5)
    seen = consumer.seen["entry"]
    many = Consumer(sends((entry(*((b"cn;x-%d" % n, b"1") for n in range(2000))), sync_state())))
    started = time.process_time()
    many.syncrepl_poll(many.msgid, timeout=5)
    spent = (time.process_time() - started) * 1000
    return seen == {"cn": [b"1", b"2"]}, (
        f"sent cn: 1 and cn: 2, got {seen}; 2,000 attributes take {spent:.0f} ms"
    )


CHECKS = {
    "0001": nameless_intermediate,
    "0002": cookie_octets,
    "0003": reference,
    "0004": busy_poll,
    "0005": nothing_yet,
    "0006": signalled,
    "0007": decoding_speed,
    "0008": refresh_required,
    "0009": attribute_twice,
}


def run_apart(number: str) -> tuple[bool, str]:
    command = [sys.executable, os.path.abspath(__file__), number]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode < 0:
        return False, f"the process ended by {signal.Signals(-done.returncode).name}"
    return done.returncode == 0, (done.stdout or done.stderr).strip()


def main() -> int:
    if len(sys.argv) == 2:
        mended, what = CHECKS[sys.argv[1]]()
        print(what)
        return 0 if mended else 1
    print(f"python-ldap {ldap.__version__}")
    results = {number: run_apart(number) for number in CHECKS}
    for number, (mended, what) in results.items():
        print(f"{number}  {'mended ' if mended else 'present'}  {what}")
    return 0 if all(mended for mended, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
