# SPDX-License-Identifier: BSD-3-Clause
"""``relay`` and ``sinks``: changes go to another system, and what it refuses is dealt with."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client.cli.commands.relay import SINK_VARIABLE, VARIABLE
from syncrepl_client.testing import Feed
from tests.cli.commands import Done, run, running
from tests.conftest import missing_servers_skip
from tests.servers.missing import needs_all, needs_httpx
from tests.servers.receiver import SECRET, Receiver
from tests.servers.redis import Redis
from tests.unit.sinks.sinks import change, dn, logging_feed

OWN = """\
import sys
from syncrepl_client.sinks import Answer, Sink


class Printer(Sink):
    def deliver(self, messages):
        return [self.put(message) for message in messages]

    def put(self, message):
        if b"poison" in message.body:
            return Answer.refused("no poison")
        print(message.event.seq, message.body.decode(), flush=True)
        return Answer.accepted()


class Other:
    pass


def broken():
    raise AttributeError("broken")
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    place = tmp_path / "state"
    place.mkdir()
    return place


@pytest.fixture
def feed(state: Path) -> Iterator[Feed]:
    with logging_feed(state) as feed:
        yield feed


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A module with sinks of one's own; the value for PYTHONPATH."""
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path)


def relay(state: Path, own: str, sink: str = "own:Printer", *arguments: str) -> Done:
    from tests.cli.commands import ROOT

    path = {"PYTHONPATH": f"{ROOT}:{own}"}
    base = ["--sink", sink, "--name", "mine", "-d", str(state), "--once"]
    return run("relay", *base, *arguments, env=path)


def sinks(state: Path, *arguments: str) -> Done:
    return run("sinks", "-d", str(state), *arguments)


def sent(done: Done) -> list[int]:
    return [int(line.split()[0]) for line in done.out.splitlines()]


# --- relay


def test_a_sink_of_ones_own(feed: Feed, state: Path, own: str) -> None:
    done = relay(state, own)
    assert (done.code, done.out, done.err) == (0, "", "")
    operational = {"entryUUID": ["u"], "description": ["here"]}
    feed.modify(dn("a"), operational)
    feed.commit()
    done = relay(state, own)
    assert sent(done) == [6]
    body = json.loads(done.out.partition(" ")[2])
    assert set(body["data"]["attributes"]) == {"cn", "description"}
    done = relay(state, own, "own:Printer", "--name", "other", "--from-start", "--operational",
                 "--source", "urn:x")  # fmt: skip
    assert sent(done) == [2, 3, 4, 5, 6]
    assert '"entryUUID"' in done.out
    assert '"source":"urn:x"' in done.out


@needs_httpx
def test_a_webhook_until_it_is_stopped(feed: Feed, state: Path, tmp_path: Path) -> None:
    base = ["relay", "--name", "mine", "-d", str(state), "--from-start", "-vv"]
    with Receiver() as receiver:
        env = {VARIABLE: SECRET}
        with running(tmp_path, *base, "--sink", receiver.url, env=env) as command:
            with receiver.changed:
                assert receiver.changed.wait_for(lambda: len(receiver.received) == 4, 600)
                second = run(*base, "--sink", receiver.url, env=env)
            change(feed, "a:1")
            with receiver.changed:
                assert receiver.changed.wait_for(lambda: len(receiver.received) == 5, 600)
            assert command.stop(signal.SIGTERM) == 0
            shown = command.out + command.err
        assert second.code == 2
        assert "another relay" in second.err
        assert "passes changes on to the sink 'mine'" in shown
        assert SECRET not in shown + second.out + second.err
        assert feed.store.changelog.sinks["mine"].behind == 0


@needs_httpx
def test_a_stop_while_the_server_is_away(feed: Feed, state: Path, tmp_path: Path) -> None:
    with Receiver() as receiver:
        url = receiver.url
    base = ["relay", "--name", "mine", "-d", str(state), "--from-start"]
    with running(tmp_path, *base, "--sink", url, env={VARIABLE: SECRET}) as command:
        command.wait_for("sent again", err=True)
        assert command.stop(signal.SIGTERM) == 0
    assert feed.store.changelog.sinks["mine"].behind == 4


@pytest.mark.parametrize(("sink", "message"), [
    ("nowhere", "neither a URL of a sink"), ("ftp://h/", "(https, http, redis"),
    ("own:Missing", "Missing"), ("missing:Printer", "missing"), ("own:Other", "no syncrepl_client"),
    ("own:broken", "broken"),
])  # fmt: skip
def test_what_is_no_sink(feed: Feed, state: Path, own: str, sink: str, message: str) -> None:
    done = relay(state, own, sink)
    assert done.code == 2
    assert message in done.err
    assert list(feed.store.changelog.sinks) == []


@needs_httpx
@pytest.mark.parametrize(("arguments", "env", "message"), [
    (["--sink", "https://h/"], {}, VARIABLE),
    (["--sink", "https://h/"], {VARIABLE: "hunter2"}, "whsec_"),
    (["--sink", "https://u:hunter2@h/"], {VARIABLE: SECRET}, "password"),
    (["--sink", "own:Printer", "--secret-file", "FILE"], {}, "with a URL"),
    (["--sink", "https://h/", "--cacert", "FILE"], {VARIABLE: SECRET}, "certificates"),
    (["--sink", "https://h/", "--name", "a b"], {VARIABLE: SECRET}, "name is"),
    (["--sink", "scim+https://h/"], {}, SINK_VARIABLE),
])  # fmt: skip
def test_wrong_usage(
    feed: Feed, state: Path, arguments: list[str], env: dict[str, str], message: str
) -> None:
    file = state / "file"
    file.write_text("nothing")
    arguments = [str(file) if each == "FILE" else each for each in arguments]
    done = run("relay", "-d", str(state), "--name", "mine", *arguments, env=env)
    assert done.code == 2
    assert message in done.err
    assert "hunter2" not in done.err
    assert list(feed.store.changelog.sinks) == []


@needs_all("redis")
def test_a_redis_stream_with_a_password(feed: Feed, state: Path) -> None:
    with missing_servers_skip():
        server = Redis(["requirepass hunter2"])
    url = f"{server.url}/0?stream=people"
    base = ["relay", "-d", str(state), "--name", "mine", "--from-start", "--once", "--sink"]
    with server:
        done = run(*base, url, env={SINK_VARIABLE: "hunter2"})
        assert (done.code, done.out, done.err) == (0, "", "")
        assert server.command("XLEN", "people", password="hunter2") == 4
    assert feed.store.changelog.sinks["mine"].behind == 0
    named = url.replace("//", "//relay@")
    assert SINK_VARIABLE in run(*base, named).err
    done = run(*base, f"{url}&maxlen=x", env={SINK_VARIABLE: "hunter2"})
    assert (done.code, "maxlen is a number" in done.err) == (2, True)


def test_no_state_and_no_log(state: Path, own: str) -> None:
    assert relay(state, own).code == 4
    with Feed(None, store="sqlite", data_path=f"{state}/") as feed:
        feed.refresh_done()
        done = relay(state, own)
        assert done.code == 2
        assert "watch --log 30d" in done.err
        assert sinks(state).code == 2


# --- sinks


@pytest.fixture
def parked(feed: Feed, state: Path, own: str) -> Feed:
    """The sink "mine" has refused change 6, of a, and 7, of b; 8 and 9 wait."""
    change(feed, "a:poison", "b:poison", "a:good", "b:good")
    done = relay(state, own, "own:Printer", "--from-start")
    assert sent(done) == [2, 3, 4, 5]
    assert done.err.count("is parked: no poison") == 2
    return feed


def test_no_sink(feed: Feed, state: Path) -> None:
    done = sinks(state)
    assert (done.code, done.out) == (0, "No sink: start one with the command relay.\n")
    done = sinks(state, "nobody")
    assert done.code == 2
    assert "no sink 'nobody'" in done.err


def test_what_is_shown(parked: Feed, state: Path) -> None:
    parked.store.changelog.sinks.add("far", 7)
    done = sinks(state)
    assert done.code == 1
    far, mine = done.out.splitlines()
    assert re.fullmatch(
        r"far   2 changes behind, the first is [\d,]+ s old, no changes parked, position 7", far
    )
    assert mine == "mine  up to date, 4 changes parked, position 9"
    done = sinks(state, "mine")
    first, *rows = done.out.splitlines()
    assert first == mine
    shown = [row.split() for row in rows]
    assert [(words[0], words[3:]) for words in shown[::2]] == [
        ("6", ["no", "poison"]),
        ("7", ["no", "poison"]),
        ("8", ["waits", "for", "6"]),
        ("9", ["waits", "for", "7"]),
    ]
    assert shown[1::2] == [[dn("a")], [dn("b")]] * 2
    assert sinks(state, "far").code == 0


def test_json(parked: Feed, state: Path) -> None:
    objects: list[dict[str, Any]] = [
        json.loads(line) for line in sinks(state, "mine", "--format", "json").out.splitlines()
    ]
    sink, *rows = objects
    assert sink.pop("moved")
    assert sink == {
        "kind": "sink", "name": "mine", "position": 9, "behind": 0, "age": None, "parked": 4,
        "lost": 0, "snapshot": None,
    }  # fmt: skip
    assert [row["seq"] for row in rows] == [6, 7, 8, 9]
    assert rows[0].pop("time")
    assert rows[0] == {
        "kind": "parked", "dn": dn("a"), "sink": "mine", "seq": 6, "released": False,
        "uuid": "00000000-0000-0000-0000-000000000001", "reason": "no poison",
        "snapshot": None,
    }  # fmt: skip


def test_release_and_drop(parked: Feed, state: Path, own: str) -> None:
    log = parked.store.changelog
    done = sinks(state, "mine", "--drop", "--change", "6")
    assert (done.code, done.out) == (0, "Dropped 1 change.\n")
    done = sinks(state, "mine", "--release", "--entry", dn("A").upper())
    assert done.out == "Released 1 change: the relay sends them again.\n"
    assert "released; waits for 6" in sinks(state, "mine").out
    assert [row.seq for row in log.sinks.parked() if row.released] == [8]
    assert [row.seq for row in log.sinks.parked()] == [7, 8, 9]
    done = sinks(state, "mine", "--release", "--entry", str(log.events(6)[0].change.uuid))  # type: ignore[union-attr]
    assert done.out == "Released 2 changes: the relay sends them again.\n"
    relay(state, own)
    assert [row.seq for row in log.sinks.parked()] == [7, 8, 9]  # the old value is poison, too
    assert sinks(state, "mine", "--drop").out == "Dropped 3 changes.\n"
    assert sinks(state, "mine", "--release").out.startswith("Released no changes")
    assert sinks(state).code == 0


def test_snapshot(feed: Feed, state: Path, own: str) -> None:
    assert sent(relay(state, own, "own:Printer", "--snapshot")) == [5, 5, 5, 5]
    change(feed, "a:poison", "b:1")
    assert sent(relay(state, own)) == [7]
    done = sinks(state, "mine", "--snapshot")
    assert re.match(r"Requested the snapshot [0-9a-f]{32}: the relay sends ", done.out)
    assert "snapshot under way (no entries sent)" in sinks(state).out
    (shown,) = map(json.loads, sinks(state, "--format", "json").out.splitlines())
    assert shown["snapshot"]["sent"] == 0
    assert shown["snapshot"]["id"] in done.out
    done = relay(state, own)
    assert sent(done) == [7, 7, 7]
    bodies = [json.loads(line.partition(" ")[2]) for line in done.out.splitlines()]
    assert {body["data"]["snapshot"] for body in bodies} == {shown["snapshot"]["id"]}
    shown = sinks(state, "mine").out.split("\n")
    assert shown[0] == "mine  up to date, 2 changes parked, position 7"
    assert [line.split()[-3:] for line in shown[3:4]] == [["waits", "for", "6"]]
    assert "snapshot; waits for 6" in shown[3]
    assert shown[4].split() == [dn("a")]
    assert sinks(state, "mine", "--drop", "--change", "7").out == "Dropped no changes.\n"
    assert sinks(state, "mine", "--snapshot").code == 0
    assert sinks(state, "mine", "--cancel-snapshot").out == "Cancelled the snapshot.\n"
    assert sinks(state, "mine", "--cancel-snapshot").out.startswith("There was no snapshot")


def test_acknowledge(feed: Feed, state: Path) -> None:
    feed.store.changelog.sinks.add("mine", 1)
    feed.store.connection.execute("DELETE FROM syncrepl_log WHERE seq <= 3")
    feed.commit()
    assert "2 changes lost" in sinks(state).out
    feed.store.changelog.sinks.move("mine", 5, lost=2)
    feed.commit()
    done = sinks(state)
    assert done.code == 1
    assert done.out == "mine  up to date, no changes parked, 2 changes lost, position 5\n"
    assert sinks(state, "mine", "--acknowledge").out == "Acknowledged that 2 changes were lost.\n"
    assert sinks(state).code == 0


def test_remove(parked: Feed, state: Path) -> None:
    assert sinks(state, "mine", "--remove").out == "Removed the sink mine.\n"
    assert list(parked.store.changelog.sinks) == []
    assert parked.store.changelog.sinks.parked() == []


@pytest.mark.parametrize("arguments", [
    ["--release"], ["--drop"], ["--remove"], ["mine", "--entry", "cn=a,dc=feed"],
    ["mine", "--change", "6"], ["mine", "--release", "--change", "6"],
    ["mine", "--remove", "--entry", "cn=a,dc=feed"], ["mine", "--remove", "--change", "6"],
    ["mine", "--drop", "--entry", "nonsense"], ["nobody", "--drop"], ["--snapshot"],
    ["nobody", "--snapshot"], ["mine", "--snapshot", "--entry", "cn=a,dc=feed"],
])  # fmt: skip
def test_wrong_usage_of_sinks(parked: Feed, state: Path, arguments: list[str]) -> None:
    assert sinks(state, *arguments).code == 2
    assert len(parked.store.changelog.sinks.parked()) == 4


def test_a_parked_change_that_is_lost(parked: Feed, state: Path) -> None:
    parked.store.connection.execute("DELETE FROM syncrepl_log WHERE seq <= 6")
    parked.commit()
    done = sinks(state, "mine", "--format", "json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["dn"] for row in rows[1:3]] == [None, dn("b")]
    assert "00000000-0000-0000-0000-000000000001" in sinks(state, "mine").out
