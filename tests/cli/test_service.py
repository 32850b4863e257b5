# SPDX-License-Identifier: BSD-3-Clause
"""``watch`` as a service of systemd, and the exit codes that its unit goes by."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client.cli.exits import Exit
from syncrepl_client.service import Notifier
from tests.cli.commands import run, running
from tests.cli.test_watch import url
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(HANGS_SECONDS)
        yield receiver


def until(receiver: socket.socket, text: str) -> list[str]:
    """Receive until there is *text*; return the lines of the message that has it."""
    deadline = time.monotonic() + HANGS_SECONDS
    while text not in (message := receiver.recv(4096).decode()):
        assert time.monotonic() < deadline, message
    return message.splitlines()


def test_watch_tells_systemd(server: Slapd, told: socket.socket, tmp_path: Path) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    where = url(server)
    server.stop()
    try:
        with running(tmp_path, "watch", "--brief", where, env=env) as it:
            lines = until(told, "EXTEND_TIMEOUT_USEC=")
            assert "Connection refused" in lines[1]
            server.start()
            lines = until(told, "READY=1")
            assert any(line.startswith("STATUS=follows ") for line in lines)
            until(told, "WATCHDOG=1")
            assert it.stop() == 0
            until(told, "STOPPING=1")
    finally:
        if not server.running:
            server.start()


def test_the_first_connection_is_not_retried_at_a_shell() -> None:
    done = run("watch", "ldap://127.0.0.1:1/dc=example,dc=com??sub")
    assert done.code == Exit.SERVER
    assert "Connection refused" in done.err


def test_what_a_restart_does_not_mend(server: Slapd, tmp_path: Path) -> None:
    env = {"SYNCREPL_PASSWORD": "wrong", "NOTIFY_SOCKET": str(tmp_path / "nobody")}
    refused = run("watch", "--once", "-D", server.root_dn, url(server), env=env)
    assert refused.code == Exit.REFUSED
    nowhere = f"{server.url}/ou=nowhere,{SUFFIX}??sub"
    assert run("watch", "--once", nowhere).code == Exit.CONFIG
    state = str(tmp_path)
    assert run("watch", "--once", "--data", state, url(server)).code == 0
    other = run("watch", "--once", "--data", state, url(server, "cn"))
    assert other.code == Exit.CONFIG
    assert "--change-search" in other.err
    assert run("watch", "--once", "--change-search", "--data", state, url(server, "cn")).code == 0


def test_once_does_not_retry_for_ever(server: Slapd) -> None:
    done = run("watch", "--once", "--exec", "false", "--exec-retries", "0", url(server))
    assert done.code == Exit.HANDLER


def test_a_shell_is_hinted_at(server: Slapd) -> None:
    done = run("watch", "--exec", "cat | grep dn", url(server))
    assert done.code == Exit.USAGE
    assert "sh -c 'cat | grep dn'" in done.err


def test_a_service_manager_that_is_gone_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    Notifier().stopping()
    assert "can't be told" in caplog.text


def test_whose_watchdog_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert Notifier().interval == 2
    assert not Notifier().enabled
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Notifier().interval == 10


def test_a_service_manager_that_does_not_listen(
    told: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Nobody waits for it, and it gets what it missed."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notifier = Notifier()
    while notifier.send("WATCHDOG=1"):
        pass
    assert "can't be told" in caplog.text
    notifier.report("follows", ready=True)
    notifier.stopping()
    assert not notifier.ready
    for _ in range(2):
        told.recv(4096)
    notifier.report("follows", ready=True)
    assert notifier.ready
    assert until(told, "READY=1") == ["WATCHDOG=1", "READY=1", "STATUS=follows"]
