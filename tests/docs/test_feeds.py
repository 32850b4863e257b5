# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's queue and audit log: at least once, and repetitions can be told."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from tests.docs.conftest import PEOPLE, Directory, Program
from tests.docs.snippets import Block, recipe
from tests.patience import HANGS_SECONDS
from tests.servers import DS389
from tests.servers.missing import needs_all
from tests.servers.people import SUFFIX, person, person_dn
from tests.servers.redis import Redis

Start = Callable[..., Program]
Message = dict[str, Any]
INSTANTS = [("told", 1), ("told", 4), ("committing", 1), ("committed", 1)]


def kill(start: Start, name: str, moment: str, number: int) -> None:
    start(recipe(name), "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()


@pytest.fixture
def broker(run_server: Callable[..., Any], workplace: Path) -> Redis:
    server: Redis = run_server(Redis)
    return server


@pytest.fixture
def publisher(broker: Redis) -> Block:
    """The recipe, with that bus."""
    block = recipe("publish.py")
    text = block.text.replace("redis://localhost:6379", broker.url)
    assert text != block.text
    return block._replace(text=text)


def published(broker: Redis) -> list[Message]:
    with broker.client() as client:
        entries = [fields for _, fields in client.xrange("people")]
    messages: list[Message] = [json.loads(fields[b"event"]) for fields in entries]
    assert [each["id"].encode() for each in messages] == [fields[b"id"] for fields in entries]
    return messages


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def mails(directory: Directory) -> dict[str, str]:
    with directory.server.connected() as connection:
        found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=inetOrgPerson)")
    return {dn: attrs["mail"][0].decode() for dn, attrs in found}


def received(messages: list[Message]) -> dict[str, str]:
    """What a receiver has that applies messages as they come."""
    by_uuid = {message["partitionkey"]: message["data"] for message in messages}
    states = [each for each in by_uuid.values() if each["kind"] != "delete"]
    return {each["dn"]: each["attributes"]["mail"][0] for each in states}


@needs_all("redis")
def test_every_change_is_published(
    directory: Directory, broker: Redis, publisher: Block, start: Start
) -> None:
    running = start(publisher)
    wait_until(lambda: len(published(broker)) == PEOPLE)
    assert {each["data"]["kind"] for each in published(broker)} == {"add"}
    broker.stop()
    dns = directory.change()
    broker.start()
    wait_until(lambda: received(published(broker)) == mails(directory))
    running.stop()
    messages = published(broker)
    assert {each["data"]["dn"]: each["data"]["kind"] for each in messages[PEOPLE:]}.items() >= {
        (dns["added"], "add"),
        (dns["changed"], "modify"),
        (dns["deleted"], "delete"),
    }
    assert max(Counter(each["id"] for each in messages).values()) == 1


@needs_all("redis")
def test_what_was_not_committed_is_not_published_and_nothing_is_lost(
    directory: Directory, broker: Redis, publisher: Block, start: Start
) -> None:
    for moment, number in INSTANTS:
        start(publisher, "-m", "tests.docs.dying", moment, str(number), "--").wait_for_kill()
        if moment != "committed":
            assert published(broker) == []
        directory.change()
    running = start(publisher)
    wait_until(lambda: received(published(broker)) == mails(directory))
    running.stop()
    assert max(Counter(each["id"] for each in published(broker)).values()) == 1


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
