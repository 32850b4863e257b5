# SPDX-License-Identifier: BSD-3-Clause
"""``watch``, ``run`` and ``status`` where several programs share a PostgreSQL store."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from syncrepl_client.store import open_changelog
from tests.cli.commands import run, running
from tests.cli.conftest import PEOPLE
from tests.cli.test_metrics import read
from tests.cli.test_run import Config, modify, until_equal
from tests.cli.test_run import receiver as receiver
from tests.cli.test_service import told as told
from tests.cli.test_service import until
from tests.cli.test_watch import url
from tests.faults.test_relay_kills import wait_for
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.missing import needs_httpx
from tests.servers.people import SUFFIX
from tests.servers.process import free_port
from tests.servers.receiver import Receiver

ENTRIES = PEOPLE + 4


def places(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "one", tmp_path / "two"
    for place in found:
        place.mkdir()
    return found


def mails(receiver: Receiver) -> list[str]:
    """The mail addresses that came, each once: what a killed relay sends may come again."""
    attributes = (request.event["data"]["attributes"] for request in receiver.received[ENTRIES:])
    return list(dict.fromkeys(each["mail"][0] for each in attributes))


def wait_for_mail(receiver: Receiver, mail: str) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while mail not in mails(receiver):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_watching(server: Slapd, database: str, tmp_path: Path, told: socket.socket) -> None:
    one, two = places(tmp_path)
    port = free_port()
    more = ("--brief", "-d", database, "--lease", "5", url(server))
    status = ("status", "-d", database)
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with running(one, "watch", *more) as first:
        first.wait_for("in step")
        assert run(*status, "--nagios", "--standbys", "1").code == 1
        with running(two, "watch", "--metrics", str(port), *more, env=env) as second:
            lines = until(told, "READY=1")
            assert "STATUS=stands by: another client follows" in lines
            numbers = read(port)
            assert (numbers["syncrepl_stage.standby"], numbers["syncrepl_active"]) == (1, 0)
            assert "syncrepl_term" not in numbers
            done = run(*status)
            assert (done.code, done.err) == (0, "")
            host = re.escape(socket.gethostname())
            assert re.search(rf"\nactive +{host}/{first.process.pid}, since .*, term 1, ", done.out)
            assert re.search(rf"\nstandby +{host}/{second.process.pid}, since ", done.out)
            found = json.loads(run(*status, "--format", "json").out)
            assert found["active"]["pid"] == first.process.pid
            assert found["active"]["term"] == 1
            assert [each["name"].rpartition("/")[2] for each in found["standbys"]] == [
                str(second.process.pid)
            ]
            done = run(*status, "--nagios", "--standbys", "1")
            assert (done.code, "standbys=1;" in done.out) == (0, True)
            first.stop(signal.SIGKILL)
            # It waits until the other one has taken over.
            assert run(*status, "--nagios", "--wait", "600").code == 0
            second.wait_for("in step")
            numbers = read(port)
            assert (numbers["syncrepl_active"], numbers["syncrepl_term"]) == (1, 2)
            assert second.stop() == 0
    done = run(*status, "--nagios")
    assert done.code == 2
    assert f"nobody is active: the last one was {socket.gethostname()}/" in done.out
    assert "nobody; the last one was" in run(*status).out


@pytest.mark.parametrize(("words", "said"), [
    (("-d", "state/", "--standby"), "can't be shared"),
    (("--standby",), "can't be shared"),
    (("-d", "postgresql://", "--lease", "1"), "lease is 2 or more"),
    (("-d", "postgresql://", "--standby", "--format", "ldif"), "has only a part"),
])  # fmt: skip
def test_what_can_not_be_shared(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run("watch", *words, f"ldap://127.0.0.1:1/{SUFFIX}", cwd=tmp_path)
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.iterdir())


@needs_httpx
def test_services(server: Slapd, database: str, tmp_path: Path, receiver: Receiver) -> None:
    """The sinks of a stream are sent to by the service that has it."""
    configs = []
    for place in places(tmp_path):
        config = Config(place, free_port())
        config.stream("here", server.url, data=database, standby=True)
        config.sink("here", "crm", receiver)
        configs.append(config)
    one, two = configs
    with one.running() as first:
        wait_for(receiver, ENTRIES)
        with two.running() as second:
            numbers = until_equal(two.port, "syncrepl_stage.standby.here", 1)
            assert numbers["syncrepl_active.here"] == 0
            modify(server, "before@example.com")
            wait_for_mail(receiver, "before@example.com")
            first.stop(signal.SIGKILL)
            modify(server, "after@example.com")
            wait_for_mail(receiver, "after@example.com")
            assert read(two.port)["syncrepl_active.here"] == 1
            with one.running() as third:
                until_equal(one.port, "syncrepl_stage.standby.here", 1)
                assert second.stop() == 0
                modify(server, "at.last@example.com")
                wait_for_mail(receiver, "at.last@example.com")
                assert third.stop() == 0
            assert "relay" not in second.err.partition("stands by")[0]
    assert mails(receiver) == ["before@example.com", "after@example.com", "at.last@example.com"]
    with open_changelog(database) as log:
        assert log.sinks["crm"].behind == 0
