# SPDX-License-Identifier: BSD-3-Clause
"""``run``: several streams and sinks in one process, with real servers."""

from __future__ import annotations

import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client.cli.exits import Exit
from syncrepl_client.store import PostgreSQL as Place
from syncrepl_client.store import open_changelog
from tests.cli.commands import Running, run, running
from tests.cli.conftest import PEOPLE
from tests.cli.test_metrics import read
from tests.cli.test_service import told as told
from tests.cli.test_service import until
from tests.faults.test_relay_kills import wait_for
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.missing import needs_httpx
from tests.servers.people import SUFFIX, person, person_dn
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import free_port
from tests.servers.receiver import Received, Receiver, write_secret

pytestmark = needs_httpx

ENTRIES = PEOPLE + 4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
    assert not receiver.forged


class Config:
    """The file, and the command that runs it."""

    def __init__(self, place: Path, port: int = 0) -> None:
        self.place = place
        self.file = place / "c.toml"
        self.port = port
        self.secret = write_secret(place / "secret")
        self.service: dict[str, Any] = {"drain": 60, **({"listen": port} if port else {})}
        self.streams: dict[str, dict[str, Any]] = {}

    def stream(self, name: str, url: str, **more: Any) -> None:
        data = f"{self.place}/{name}-"
        self.streams[name] = {"url": f"{url}/{SUFFIX}??sub", "data": data, "log": "1d", **more}

    def sink(self, stream: str, name: str, receiver: Receiver, **more: Any) -> None:
        settings = {"url": receiver.url, "secret_file": str(self.secret), "begin": "snapshot"}
        self.streams[stream].setdefault("sink", {})[name] = {**settings, **more}

    def write(self) -> Config:
        lines = ["[service]", *map(_pair, self.service.items())]
        for name, stream in self.streams.items():
            keys = [item for item in stream.items() if item[0] != "sink"]
            lines += [f"[stream.{name}]", *map(_pair, keys)]
            for sink, settings in stream.get("sink", {}).items():
                lines += [f"[stream.{name}.sink.{sink}]", *map(_pair, settings.items())]
        self.file.write_text("\n".join([*lines, ""]))
        return self

    @contextmanager
    def running(self, **env: str) -> Iterator[Running]:
        with running(self.place, "run", "-v", str(self.write().file), env=env) as command:
            yield command


def _pair(item: tuple[str, Any]) -> str:
    name, value = item
    return f'{name} = "{value}"' if type(value) is str else f"{name} = {value}".lower()


def until_equal(port: int, metric: str, value: float) -> dict[str, float]:
    """Wait for the value of a metric; return all."""
    deadline = time.monotonic() + HANGS_SECONDS
    while True:
        try:
            numbers = read(port)
        except OSError:  # it does not listen yet
            numbers = {}
        if numbers.get(metric) == value:
            return numbers
        assert time.monotonic() < deadline, numbers
        time.sleep(0.05)


def modify(server: Slapd, *mails: str) -> None:
    with server.connected() as connection:
        for mail in mails:
            changes = [(ldap.MOD_REPLACE, "mail", mail.encode())]
            connection.modify_s(person_dn(0), changes)


def sent(receiver: Receiver) -> list[str]:
    """The kinds of what was received."""
    return [request.event["data"]["kind"] for request in receiver.received]


def test_a_stream_in_postgresql(
    server: Slapd, postgresql: PostgreSQL, receiver: Receiver, tmp_path: Path
) -> None:
    """Its sink gets all entries, then each change; killed meanwhile, it goes on."""
    schema = f"run_{secrets.token_hex(8)}"
    database = postgresql.socket_url
    config = Config(tmp_path)
    config.stream("people", server.url, data=database, schema=schema)
    config.sink("people", "crm", receiver)
    with config.running() as command:
        wait_for(receiver, ENTRIES)
        modify(server, "first@example.com")
        wait_for(receiver, ENTRIES + 1)
        command.process.kill()
        command.end()
    modify(server, "second@example.com")
    with config.running() as command:
        number = len(receiver.received)
        while "second@example.com" not in str(receiver.received[number - 1].event):
            number += 1
            wait_for(receiver, number)
        assert command.stop() == Exit.DONE
    assert len({request.id for request in receiver.received}) == ENTRIES + 2
    with open_changelog(Place(database, schema=schema)) as log:
        (sink,) = log.sinks
        assert (sink.name, sink.position, sink.parked) == ("crm", log.newest, 0)
    done = run("status", "--data", database, "--schema", schema)
    assert (done.code, "crm" in done.out) == (Exit.DONE, True)


def test_two_streams_of_which_one_server_is_down(
    server: Slapd, run_server: Callable[..., Any], receiver: Receiver, tmp_path: Path,
    told: socket.socket,
) -> None:  # fmt: skip
    other = run_server(Slapd, sessionlog=1000)
    other.stop()
    config = Config(tmp_path, free_port())
    config.stream("here", server.url)
    config.stream("away", other.url)
    for stream in ("here", "away"):
        config.sink(stream, "crm", receiver)
    try:
        with config.running(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="9e9") as command:
            wait_for(receiver, ENTRIES)
            lines = until(told, "READY=1")
            assert "WATCHDOG=1" in lines
            modify(server, "new@example.com")
            wait_for(receiver, ENTRIES + 1)
            numbers = until_equal(config.port, "syncrepl_stage.persist.here", 1)
            assert numbers["syncrepl_stage.connecting.away"] == 1
            assert numbers["syncrepl_entries.here"] == ENTRIES
            assert numbers["syncrepl_sink_parked_changes.crm.here"] == 0
            assert "warning: stream away: Can't contact LDAP server" in command.err
            assert "info: sink here/crm: the relay passes changes on" in command.err
            other.start()
            until_equal(config.port, "syncrepl_stage.persist.away", 1)
            until(told, "STATUS=2 of 2 streams in step")
            wait_for(receiver, ENTRIES + 1 + 3)
            server.restart()  # and the other goes on
            until_equal(config.port, "syncrepl_reconnects_total.here", 1)
            assert read(config.port)["syncrepl_reconnects_total.away"] == 0
            assert command.stop() == 0
            until(told, "STOPPING=1")
    finally:
        if not other.running:
            other.start()
    assert sent(receiver).count("modify") == 1


def test_sigterm_drains(server: Slapd, receiver: Receiver, tmp_path: Path) -> None:
    """What is committed when the signal comes is sent before the end."""
    config = Config(tmp_path)
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    held = threading.Event()

    def reply(request: Received) -> tuple[int, dict[str, str]]:
        if request.event["data"]["kind"] == "modify":
            held.wait(HANGS_SECONDS)
        return 200, {}

    receiver.reply = reply
    with config.running() as command:
        wait_for(receiver, ENTRIES)
        modify(server, *(f"{number}@example.com" for number in range(20)))
        wait_until_logged(tmp_path, 21)
        command.process.send_signal(signal.SIGTERM)
        command.wait_for("the sinks get what is committed", err=True)
        held.set()
        assert command.end() == 0
    assert sent(receiver).count("modify") == 20
    assert run("sinks", "-d", f"{tmp_path}/here-").code == 0


def wait_until_logged(place: Path, number: int) -> None:
    with open_changelog(f"{place}/here-") as log:
        deadline = time.monotonic() + HANGS_SECONDS
        while log.newest < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_limit_of_draining(server: Slapd, receiver: Receiver, tmp_path: Path) -> None:
    config = Config(tmp_path)
    config.service["drain"] = 1
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    with config.running() as command:
        wait_for(receiver, ENTRIES)
        receiver.stop()
        modify(server, "new@example.com")
        wait_until_logged(tmp_path, 2)
        command.wait_for("sent again", err=True)
        assert command.stop() == 0
        assert "not all that is committed was sent" in command.err
    receiver.start()
    with config.running() as command:
        wait_for(receiver, ENTRIES + 1)
        assert command.stop() == 0


@pytest.mark.parametrize("at_once", [False, True])
def test_a_second_signal_is_impatient(
    server: Slapd, receiver: Receiver, tmp_path: Path, at_once: bool
) -> None:
    config = Config(tmp_path)
    config.service["drain"] = int(HANGS_SECONDS)
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    with config.running() as command:
        wait_for(receiver, ENTRIES)
        receiver.stop()
        modify(server, "new@example.com")
        command.wait_for("sent again", err=True)
        command.process.send_signal(signal.SIGTERM)
        if not at_once:
            command.wait_for("the sinks get what is committed", err=True)
        assert command.stop(signal.SIGINT) == 0
    receiver.start()


def test_kills(server: Slapd, receiver: Receiver, tmp_path: Path) -> None:
    """What was committed is sent at least once, in order, with the same id."""
    config = Config(tmp_path)
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    for turn in range(3):
        with config.running() as command:
            wait_for(receiver, len(receiver.received) + 1 if turn else 1)
            modify(server, *(f"{turn}.{number}@example.com" for number in range(10)))
            assert command.stop(signal.SIGKILL) == -signal.SIGKILL
            modify(server, f"between.{turn}@example.com")
    with config.running() as command:
        mails: list[str] = []
        deadline = time.monotonic() + HANGS_SECONDS
        while "between.2@example.com" not in mails:
            assert time.monotonic() < deadline
            events = [request.event["data"] for request in receiver.received]
            mine = {data["id"]: data for data in events if data.get("dn") == person_dn(0)}
            mails = [data["attributes"]["mail"][0] for data in mine.values()]
            time.sleep(0.05)
        assert command.stop() == 0
    seqs = [data["seq"] for data in mine.values()]
    assert seqs == sorted(seqs)
    assert len({request.event["data"]["uuid"] for request in receiver.received}) == ENTRIES


def test_sighup_reads_the_file_again(
    server: Slapd, receiver: Receiver, tmp_path: Path, told: socket.socket
) -> None:
    config = Config(tmp_path, free_port())
    config.stream("kept", server.url)
    config.stream("changed", server.url)
    config.stream("gone", server.url)
    config.sink("kept", "crm", receiver)
    config.sink("changed", "crm", receiver)
    with config.running(NOTIFY_SOCKET=str(tmp_path / "notify")) as command:
        wait_for(receiver, 2 * ENTRIES)
        until(told, "READY=1")
        commits = until_equal(config.port, "syncrepl_stage.persist.gone", 1)

        config.streams["kept"]["nonsense"] = 1
        config.streams.pop("gone")
        config.write()
        command.process.send_signal(signal.SIGHUP)
        command.wait_for("not read again, what ran goes on: ", err=True)
        assert f"{config.file}:8: stream.kept.nonsense: unknown key" in command.err
        until(told, "RELOADING=1")
        until(told, "READY=1")
        assert read(config.port)["syncrepl_stage.persist.gone"] == 1

        del config.streams["kept"]["nonsense"]
        config.streams["changed"]["heartbeat"] = 7
        config.stream("new", server.url)
        config.sink("kept", "second", receiver)
        old, config.service["listen"] = config.port, free_port()
        config.write()
        command.process.send_signal(signal.SIGHUP)
        command.wait_for("read ", err=True)
        numbers = until_equal(int(config.service["listen"]), "syncrepl_stage.persist.new", 1)
        with pytest.raises(OSError, match="refused"):
            read(old)
        numbers = until_equal(int(config.service["listen"]), "syncrepl_stage.persist.changed", 1)
        assert "syncrepl_entries.gone" not in numbers
        name = "syncrepl_changes_total.add.kept"
        assert numbers[name] == commits[name] == ENTRIES
        assert numbers["syncrepl_changes_total.add.changed"] == 0  # another client
        wait_for(receiver, 3 * ENTRIES)
        modify(server, "new@example.com")
        wait_for(receiver, 3 * ENTRIES + 3)
        assert command.stop() == 0
        err = command.err
    assert sent(receiver).count("modify") == 3
    for sink, times in (("kept/crm", 1), ("kept/second", 1), ("changed/crm", 1)):
        assert err.count(f"sink {sink}: the relay passes changes on") == times


def test_a_stream_that_fails_for_good(server: Slapd, receiver: Receiver, tmp_path: Path) -> None:
    """The others go on; SIGHUP tries it again; with none left the service ends."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    wrong.chmod(0o600)
    config = Config(tmp_path, free_port())
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    who = {"bind_dn": server.root_dn, "password_file": str(wrong)}
    config.stream("refused", server.url, **who)
    with config.running() as command:
        command.wait_for("stream refused: the stream has failed", err=True)
        wait_for(receiver, ENTRIES)
        until_equal(config.port, "syncrepl_stage.failed.refused", 1)
        wrong.write_text(f"{server.root_pw}\n")
        command.process.send_signal(signal.SIGHUP)
        until_equal(config.port, "syncrepl_stage.persist.refused", 1)
        assert command.stop() == 0
    wrong.write_text("wrong\n")
    del config.streams["here"]
    with config.running() as command:
        assert command.end() == Exit.REFUSED
        assert "no stream is left" in command.err


def test_a_sink_that_is_removed(server: Slapd, receiver: Receiver, tmp_path: Path) -> None:
    config = Config(tmp_path)
    config.stream("here", server.url)
    config.sink("here", "crm", receiver)
    with config.running() as command:
        wait_for(receiver, ENTRIES)
        assert run("sinks", "-d", f"{tmp_path}/here-", "crm", "--remove").code == 0
        modify(server, "new@example.com")
        command.wait_for("was removed; not sent to any more", err=True)
        command.process.send_signal(signal.SIGHUP)
        wait_for(receiver, 2 * ENTRIES)  # it begins anew
        assert command.stop() == 0


def test_a_port_that_is_taken(server: Slapd, tmp_path: Path) -> None:
    config = Config(tmp_path, server.port)
    config.stream("here", server.url)
    done = run("run", str(config.write().file))
    assert done.code == 2
    assert f"can't listen on 127.0.0.1:{server.port}: Address already in use" in done.err


def test_a_callback_that_fails(server: Slapd, tmp_path: Path) -> None:
    """It holds up its own stream; what it raised for good ends its client, which is made again."""
    (tmp_path / "own.py").write_text(
        "from syncrepl_client import BaseCallback\n\n\n"
        "class Broken(BaseCallback):\n"
        "    def record_add(self, dn, attrs):\n"
        "        raise RuntimeError('broken')\n"
    )
    config = Config(tmp_path, free_port())
    config.stream("here", server.url)
    config.stream("broken", server.url, callback="own:Broken", callback_retries=0)
    from tests.cli.commands import ROOT

    with config.running(PYTHONPATH=f"{ROOT}:{tmp_path}") as command:
        command.wait_for("stream broken: the stream was ended by an exception", err=True)
        command.wait_for("stream broken: broken; again in", err=True)
        until_equal(config.port, "syncrepl_stage.persist.here", 1)
        with server.connected() as connection:
            connection.add_s(person_dn(100), list(person(100).items()))
        until_equal(config.port, "syncrepl_entries.here", ENTRIES + 1)
        assert read(config.port)["syncrepl_entries.broken"] == 0
        assert command.stop() == 0
