# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's queue and audit log: at least once, and repetitions can be told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from tests.docs.conftest import PEOPLE, Directory, Program
from tests.docs.snippets import recipe
from tests.patience import HANGS_SECONDS
from tests.servers import DS389
from tests.servers.people import SUFFIX, person, person_dn

Start = Callable[..., Program]
Message = dict[str, Any]
INSTANTS = [("told", 1), ("told", 4), ("committing", 1), ("committed", 1)]


def kill(start: Start, name: str, moment: str, number: int) -> None:
    start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()


class Broker(socketserver.ThreadingUnixStreamServer):
    """Keeps lines, and says how many; refuses as often as it is told to."""

    daemon_threads = False

    def __init__(self, path: str) -> None:
        super().__init__(path, Receiver)
        self.messages: list[Message] = []
        self.refusals = 0
        self.changed = threading.Condition()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=HANGS_SECONDS), self.messages


class Receiver(socketserver.StreamRequestHandler):
    server: Broker

    def handle(self) -> None:
        lines = self.rfile.readlines()
        with self.server.changed:
            if self.server.refusals:
                self.server.refusals -= 1
                self.wfile.write(b"0\n")
            else:
                self.server.messages += map(json.loads, lines)
                self.wfile.write(b"%d\n" % len(lines))
            self.server.changed.notify_all()


@pytest.fixture
def broker(workplace: Path) -> Iterator[Broker]:
    with Broker(str(workplace / "state" / "bus")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mails(directory: Directory) -> dict[str, str]:
    with directory.server.connected() as connection:
        found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=inetOrgPerson)")
    return {dn: attrs["mail"][0].decode() for dn, attrs in found}


def received(messages: list[Message]) -> dict[str, str]:
    """What a receiver has that applies messages as they come, and leaves repetitions out."""
    by_uuid: dict[str, Message] = {}
    for message in messages:
        last = by_uuid.get(message["uuid"])
        if last is None or last["id"] != message["id"]:
            by_uuid[message["uuid"]] = message
    states = [each for each in by_uuid.values() if each["kind"] != "delete"]
    return {each["dn"]: each["attributes"]["mail"][0] for each in states}


def test_every_change_is_published(directory: Directory, broker: Broker, start: Start) -> None:
    running = start(recipe("publish.py"))
    broker.wait_for(lambda: len(broker.messages) == PEOPLE)
    assert {each["kind"] for each in broker.messages} == {"add"}
    dns = directory.change()
    broker.wait_for(lambda: received(broker.messages) == mails(directory))
    running.stop()
    assert {each["dn"]: each["kind"] for each in broker.messages[PEOPLE:]}.items() >= {
        (dns["added"], "add"),
        (dns["changed"], "modify"),
        (dns["deleted"], "delete"),
    }
    assert max(Counter(each["id"] for each in broker.messages).values()) == 1


def test_what_was_sent_and_not_committed_has_the_same_id(
    directory: Directory, broker: Broker, start: Start
) -> None:
    kill(start, "publish.py", "told", 4)
    assert broker.messages == []
    kill(start, "publish.py", "committing", 1)
    first, broker.messages = broker.messages, []
    kill(start, "publish.py", "committed", 1)
    assert len(first) == PEOPLE
    assert broker.messages == first
    directory.change()
    for moment, number in INSTANTS:
        kill(start, "publish.py", moment, number)
    running = start(recipe("publish.py"))
    directory.change()
    broker.wait_for(lambda: received(broker.messages) == mails(directory))
    running.stop()


def test_a_bus_that_refuses_gets_it_again(
    directory: Directory, broker: Broker, start: Start
) -> None:
    broker.refusals = 2
    running = start(recipe("publish.py"))
    broker.wait_for(lambda: len(broker.messages) == PEOPLE)
    assert running.stop().count("the bus has kept '0' of 60 messages") == 2
    assert broker.refusals == 0


# --- the audit log


def lines(place: Path) -> list[Message]:
    return [json.loads(line) for line in (place / "audit.jsonl").read_text().splitlines()]


def test_the_audit_log_says_who_and_when(
    directory: Directory, workplace: Path, start: Start
) -> None:
    running = start(recipe("audit.py"))
    running.wait_for_file("audit.jsonl", '"refresh-done"')
    with directory.server.connected() as connection:
        connection.modify_s(person_dn(3), [(ldap.MOD_REPLACE, "mail", b"new@example.com")])
        connection.modify_s(person_dn(4), [(ldap.MOD_REPLACE, "userPassword", b"hush")])
    running.wait_for_file("audit.jsonl", person_dn(4), '"kind":"modify"')
    running.stop()
    (mail,) = [each for each in lines(workplace) if each.get("dn") == person_dn(3)][1:]
    assert mail["kind"] == "modify"
    assert mail["differences"]["mail"]["added"] == ["new@example.com"]
    assert mail["attributes"]["modifiersName"] == [directory.server.root_dn]
    assert len(mail["attributes"]["modifyTimestamp"][0]) == len("20260101000000Z")
    assert "userPassword" not in (workplace / "audit.jsonl").read_text()
    assert (workplace / "audit.jsonl").stat().st_mode & 0o777 == 0o600


WRITER = f"uid=writer,{SUFFIX}"


def test_the_audit_log_says_who_on_389_ds(
    run_server: Callable[..., Any], launch: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = run_server(DS389)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    may_write = f'(targetattr="*")(version 3.0; acl "w"; allow(all) userdn="ldap:///{WRITER}";)'
    account = {"objectClass": ["account", "simpleSecurityObject"], "userPassword": ["hush hush"]}
    with server.connected() as connection:
        values = [(name, [each.encode() for each in several]) for name, several in account.items()]
        connection.add_s(WRITER, values)
        connection.modify_s(SUFFIX, [(ldap.MOD_ADD, "aci", may_write.encode())])
        connection.add_s(person_dn(3), list(person(3).items()))
    block = recipe("audit.py")
    block = block._replace(text=block.text.replace("?sub", "?sub?(objectClass=top)"))

    def write(mail: bytes) -> None:
        with server.connected() as connection:
            connection.simple_bind_s(WRITER, "hush hush")
            connection.modify_s(person_dn(3), [(ldap.MOD_REPLACE, "mail", mail)])

    running = launch(block, server)
    running.wait_for_file("audit.jsonl", '"refresh-done"')
    write(b"live@example.com")
    running.wait_for_file("audit.jsonl", "live@example.com", f'"modifiersName":["{WRITER}"]')
    with server.connected() as connection:
        connection.modify_s(person_dn(3), [(ldap.MOD_REPLACE, "mail", b"root@example.com")])
    root = f'"modifiersName":["{server.root_dn.lower()}"]'
    running.wait_for_file("audit.jsonl", "root@example.com", root)
    running.stop()
    write(b"meanwhile@example.com")
    running = launch(block, server)
    writer = f'"modifiersName":["{WRITER}"]'
    running.wait_for_file("audit.jsonl", "meanwhile@example.com", writer)
    running.stop()


def test_a_line_that_was_cut_is_written_again(
    directory: Directory, workplace: Path, start: Start
) -> None:
    for moment, number in INSTANTS:
        kill(start, "audit.py", moment, number)
        with (workplace / "audit.jsonl").open("a") as stream:
            stream.write('{"kind":"add","uu')
    running = start(recipe("audit.py"))
    running.wait_for_file("audit.jsonl", '"refresh-done"')
    dns = directory.change()
    running.wait_for_file("audit.jsonl", '"kind":"delete"', dns["deleted"])
    running.stop()
    told = Counter((each["kind"], each.get("dn")) for each in lines(workplace))
    assert all(told["add", person_dn(number)] >= 1 for number in range(PEOPLE))
    assert told["delete", dns["deleted"]] == 1


def test_one_audit_log_at_a_time(directory: Directory, workplace: Path, start: Start) -> None:
    running = start(recipe("audit.py"))
    running.wait_for_file("audit.jsonl", '"refresh-done"')
    other = start(recipe("audit.py"))
    assert "StoreLocked" in other.fail()
    running.stop()
