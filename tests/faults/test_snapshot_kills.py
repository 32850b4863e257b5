# SPDX-License-Identifier: BSD-3-Clause
"""A snapshot of a directory that changes, asked for and sent by processes that are killed."""

from __future__ import annotations

import random
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client.store import open_changelog, read_store
from tests.cli.commands import Running, run, running
from tests.faults.test_relay_kills import wait_for
from tests.servers import Slapd
from tests.servers.missing import needs_httpx
from tests.servers.people import SUFFIX, people_ldif, person, person_dn
from tests.servers.receiver import Receiver, write_secret

pytestmark = needs_httpx

PEOPLE = 400
KILLS = 3


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    slapd: Slapd = run_server(Slapd, sessionlog=1000, ldif=people_ldif(PEOPLE))
    return slapd


class Life:
    """Somebody changes, renames, deletes and adds people, until the block ends."""

    def __init__(self, server: Slapd) -> None:
        self.server = server
        self.done = threading.Event()

    @contextmanager
    def lived(self) -> Iterator[None]:
        thread = threading.Thread(target=self.live)
        thread.start()
        try:
            yield
        finally:
            self.done.set()
            thread.join()

    def live(self) -> None:
        chance = random.Random(7)
        number = PEOPLE
        people = [person_dn(each) for each in range(PEOPLE)]
        with self.server.connected() as connection:
            while not self.done.wait(0.01):
                at = chance.randrange(len(people))
                turn = chance.random()
                if turn < 0.1:
                    connection.delete_s(people.pop(at))
                elif turn < 0.2:
                    people.append(person_dn(number))
                    connection.add_s(people[-1], list(person(number).items()))
                    number += 1
                elif turn < 0.3:
                    connection.rename_s(people[at], f"uid=r{number}")
                    people[at] = f"uid=r{number},ou=people,{SUFFIX}"
                    number += 1
                else:
                    mail = f"{chance.random()}@example.com".encode()
                    connection.modify_s(people[at], [(ldap.MOD_REPLACE, "mail", mail)])


def replayed(receiver: Receiver) -> tuple[dict[str, Any], dict[str, int]]:
    """What a receiver that ignores known ids has in the end, and the size of each snapshot."""
    entries: dict[str, Any] = {}
    known: set[str] = set()
    reached: dict[str, tuple[int, bool]] = {}
    sizes: dict[str, int] = defaultdict(int)
    for request in receiver.received:
        if request.id in known:
            continue
        known.add(request.id)
        data = request.event["data"]
        uuid, is_snapshot = data["uuid"], data["kind"] == "snapshot"
        assert reached.get(uuid, (0, False)) <= (data["seq"], is_snapshot), "out of order"
        reached[uuid] = data["seq"], is_snapshot
        if is_snapshot and uuid in entries:
            assert entries[uuid] == (data["dn"], data["attributes"]), "it undoes a change"
        sizes[data.get("snapshot", "")] += 1
        if data["kind"] == "delete":
            entries.pop(uuid, None)
        else:
            entries[uuid] = data["dn"], data["attributes"]
    return entries, sizes


def test_kills(server: Slapd, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    secret = str(write_secret(tmp_path / "secret"))
    url = f"{server.url}/{SUFFIX}?uid,mail?sub"
    follow = ("watch", "--brief", "--log", "1d", "-d", str(state), url)
    chance = random.Random(8)

    def relay(receiver: Receiver) -> tuple[str, ...]:
        where = ("--sink", receiver.url, "--secret-file", secret, "--name", "crm")
        return ("relay", *where, "--snapshot", "-d", str(state))

    def end(command: Running) -> None:
        assert command.stop(signal.SIGKILL) == -signal.SIGKILL

    with Receiver() as receiver, running(tmp_path, *follow) as watch:
        watch.wait_for("in step")
        life = Life(server)
        with life.lived():
            for _ in range(KILLS):
                with running(tmp_path, *relay(receiver)) as command:
                    wait_for(receiver, len(receiver.received) + chance.randrange(1, 150))
                    end(command)
            done = run("sinks", "-d", str(state), "crm", "--format", "json")
            assert '"snapshot": {"id": ' in done.out  # it is still under way
            with running(tmp_path, *relay(receiver)) as command:
                until_done(state)
                asked = run("sinks", "-d", str(state), "crm", "--snapshot")
                assert asked.code == 0, asked.err
                until_done(state)
                life.done.set()
                until_done(state, behind=server)
                assert command.stop() == 0
        assert watch.stop() == 0
        assert not receiver.forged
    entries, sizes = replayed(receiver)
    with read_store(state) as reader:
        expected = dict(reader.items().items())
    assert {dn for dn, _ in entries.values()} == set(expected)
    for dn, attributes in entries.values():
        assert attributes.get("mail", []) == [
            value.decode() for value in expected[dn].get("mail", [])
        ]
    sizes.pop("", None)
    assert len(sizes) == 2
    assert all(size >= PEOPLE / 2 for size in sizes.values())


def until_done(state: Path, behind: Slapd | None = None) -> None:
    """Wait until the sink has its snapshot; and all changes of the directory, if that is given."""
    pause = threading.Event()
    with open_changelog(state) as log:
        while log.sinks["crm"].snapshot is not None:
            assert not pause.wait(0.05)
        if behind is not None:
            while run("status", "--wait", "60", "-d", str(state)).code != 0:
                assert not pause.wait(0.05)
            while log.sinks["crm"].behind:
                assert not pause.wait(0.05)
