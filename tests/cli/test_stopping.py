# SPDX-License-Identifier: BSD-3-Clause
"""What ends ``watch``: signals, and readers that go away."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cli.commands import COMMAND, environment, run, run_python, running, terminal
from tests.cli.conftest import PEOPLE
from tests.cli.states import FILE, wait_until_kept
from tests.cli.test_watch import change_all, events, url
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import people_ldif, person_dn

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_nothing_is_ignored_that_was_not_asked_for() -> None:
    """However the tests themselves were started: with nohup, or by a script."""
    program = f"import signal; print(*map(signal.getsignal, {[*map(int, SIGNALS)]}))"
    default = f"{signal.default_int_handler} {signal.SIG_DFL} {signal.SIG_DFL}"
    assert run_python(program).out == f"{default}\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_and_what_was_told_is_kept(
    server: Slapd, tmp_path: Path, number: signal.Signals
) -> None:
    state = f"{tmp_path}/kept-"
    with running(tmp_path, "watch", "--data", state, url(server)) as command:
        command.wait_for("in step")
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        wait_until_kept(Path(f"{state}{FILE}"), person_dn(100))
        assert command.stop(number) == 0
        assert command.err == ""
    again = run("watch", "--once", "--data", state)
    assert events(again.out) == [f"in step with the directory: {PEOPLE} entries"]


def test_nohup_is_respected(server: Slapd, tmp_path: Path) -> None:
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, "watch", url(server)]
    with (tmp_path / "nohup").open("wb") as out:
        process = subprocess.Popen(nohup, stdout=out, env=environment())
    try:
        while b"in step" not in (tmp_path / "nohup").read_bytes():
            time.sleep(0.02)
        process.send_signal(signal.SIGHUP)
        change_all(server)
        while b"delete" not in (tmp_path / "nohup").read_bytes():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGS_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_heard_while_the_server_does_not_answer(
    server: Slapd, tmp_path: Path, number: signal.Signals
) -> None:
    server.pause()
    try:
        with running(tmp_path, "watch", "-vv", url(server)) as command:
            while not connected(server):
                time.sleep(0.02)
            assert command.stop(number) == 0
    finally:
        server.resume()


def connected(server: Slapd) -> bool:
    """Whether somebody has an established connection to the server."""
    return f":{server.port:04X} 01 " in Path("/proc/net/tcp").read_text()


def test_ctrl_c_on_a_terminal(server: Slapd) -> None:
    with terminal() as tty, tty.running("watch", url(server)) as process:
        tty.wait_for("in step")
        tty.type("\x03")
        assert process.wait(HANGS_SECONDS) == 0
        tty.read()
    assert b"Traceback" not in tty.shown


def head(server: Slapd, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``watch | head -1``: its exit codes are in the last line."""
    script = '"$@" | head -1; echo "${PIPESTATUS[@]}"'
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, "watch", *arguments, url(server)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )


@pytest.mark.parametrize("form", ["text", "json", "ldif"])
def test_a_reader_that_goes_away(server: Slapd, form: str) -> None:
    done = head(server, "--format", form)  # it is idle when head has gone
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "141 0"
    assert len(done.stdout.splitlines()) == 2


def test_a_reader_that_goes_away_while_it_is_told(server: Slapd, tmp_path: Path) -> None:
    read, write = os.pipe()
    with running(tmp_path, "watch", "--once", url(server), stdout=write) as command:
        os.close(write)
        os.close(read)
        assert command.end() == 141
    assert command.err == ""


def test_a_signal_is_heard_while_nobody_reads(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    server = run_server(Slapd, ldif=people_ldif(500))  # more than fits in a pipe
    read, write = os.pipe()
    try:
        arguments = ("watch", "--once", "--data", f"{tmp_path}/", url(server))
        with running(tmp_path, *arguments, stdout=write) as command:
            os.close(write)
            while not filled(read):
                time.sleep(0.02)
            assert command.stop() == 0
        assert command.err == ""
    finally:
        os.close(read)
    assert run("watch", "--once", "--data", f"{tmp_path}/").out.count(" add ") == 500


def filled(pipe: int) -> bool:
    """Whether there is little room left in a pipe."""
    waiting = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(waiting, sys.byteorder) > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) - 8192


def test_a_second_signal_ends_it_at_once() -> None:
    program = """\
import time
from syncrepl_client.cli.signals import Signals

class Stuck:
    def please_stop(self):
        print("stopping", flush=True)

with Signals() as stopping:
    stopping.client = Stuck()
    print("begun", flush=True)
    while True:
        time.sleep(60)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGS_SECONDS) == 130


def test_streams_that_are_closed(server: Slapd) -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        shell = ["bash", "-c", f'"$@" {closed}', "bash", *COMMAND, "watch", "--once", url(server)]
        done = subprocess.run(
            shell, env=environment(), capture_output=True, text=True, timeout=HANGS_SECONDS
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_output_that_is_full(server: Slapd, tmp_path: Path) -> None:
    arguments = ("watch", "--data", f"{tmp_path}/", url(server))
    with open("/dev/full", "wb") as full, running(tmp_path, *arguments, stdout=full) as it:
        assert it.end() == 5
    assert it.err.startswith("syncrepl-client: error: the output can't be written: ")
    again = run("watch", "--once", "--data", f"{tmp_path}/")
    assert len(events(again.out)) == PEOPLE + 1  # nothing of it was committed
