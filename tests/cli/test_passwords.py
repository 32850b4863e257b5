# SPDX-License-Identifier: BSD-3-Clause
"""Passwords: from a prompt, a file, the environment; and nowhere to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cli.commands import run, running, terminal
from tests.conftest import missing_servers_skip
from tests.live.test_client_scram import CONFIG, PLUGINS, SECRET
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person, person_dn, uid
from tests.servers.process import find_path

READER = f"cn=reader,{SUFFIX}"
WORD = "secret"


def arguments(server: Slapd, *more: str) -> tuple[str, ...]:
    where = ("-H", server.url, "-b", SUFFIX, "-s", "base")
    return ("watch", "--once", "--brief", "-vv", *where, "-D", READER, *more)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{WORD}\n")
    path.chmod(0o600)
    return str(path)


def test_from_a_file(server: Slapd, file: str) -> None:
    done = run(*arguments(server, "-y", file))
    assert done.code == 0
    assert WORD not in done.out + done.err


def test_from_the_environment(server: Slapd) -> None:
    done = run(*arguments(server), env={"SYNCREPL_PASSWORD": WORD})
    assert done.code == 0
    assert WORD not in done.out + done.err


def test_a_file_goes_before_the_environment(server: Slapd, file: str) -> None:
    assert run(*arguments(server, "-y", file), env={"SYNCREPL_PASSWORD": "wrong"}).code == 0


def test_a_wrong_one(server: Slapd) -> None:
    done = run(*arguments(server), env={"SYNCREPL_PASSWORD": "wrong-one"})
    assert (done.code, done.out) == (77, "")
    assert done.err == f"syncrepl-client: error: {server.url}: Invalid credentials\n"


def test_from_a_prompt(server: Slapd) -> None:
    with terminal() as tty, tty.running(*arguments(server, "-W")) as process:
        tty.wait_for(f"Password for {READER}: ")
        tty.type(f"{WORD}\n")
        tty.wait_for("in step")
        assert process.wait(HANGS_SECONDS) == 0
        assert WORD.encode() not in tty.shown


def test_ctrl_c_at_the_prompt(server: Slapd) -> None:
    with terminal() as tty, tty.running(*arguments(server, "-W")) as process:
        tty.wait_for("Password")
        tty.type("\x03")
        assert process.wait(HANGS_SECONDS) == 130
        tty.read()
        assert b"Traceback" not in tty.shown


def test_a_prompt_needs_a_terminal(server: Slapd) -> None:
    done = run(*arguments(server, "-W"), start_new_session=True)
    assert done.code == 2
    assert "-W needs a terminal to ask on" in done.err


def test_an_empty_one_is_refused(server: Slapd) -> None:
    with terminal() as tty, tty.running(*arguments(server, "-W")) as process:
        tty.wait_for("Password")
        tty.type("\n")
        tty.wait_for("would be taken for an anonymous bind")
        assert process.wait(HANGS_SECONDS) == 2


def test_it_is_not_in_the_arguments(server: Slapd, file: str, tmp_path: Path) -> None:
    follow = ["watch", "-H", server.url, "-b", SUFFIX, "-D", READER, "-y", file]
    with running(tmp_path, *follow) as command:
        command.wait_for("in step")
        shown = Path(f"/proc/{command.process.pid}/cmdline").read_bytes()
        assert READER.encode() in shown
        assert WORD.encode() not in shown
        assert command.stop() == 0


def test_it_is_not_kept(server: Slapd, file: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    base = ("watch", "--once", "--brief", "--data", str(state))
    search = ("-H", server.url, "-b", SUFFIX, "-s", "base", "-D", READER)
    assert run(*base, *search, "-y", file).code == 0
    for path in state.iterdir():
        assert WORD.encode() not in path.read_bytes()
    done = run(*base)
    assert done.code == 2
    assert f"There is no password for {READER}" in done.err
    assert run(*base, "-y", file).code == 0


def test_tls(server: Slapd, file: str) -> None:
    assert server.ca_file is not None
    assert server.ldaps_url is not None
    trust = ("--cacert", server.ca_file)
    assert run(*arguments(server, "-y", file, "-Z", *trust)).code == 0
    refused = run(*arguments(server, "-y", file, "-Z"))
    assert refused.code == 3
    assert "the authority's certificate in --cacert" in refused.err
    where = ("-H", server.ldaps_url, "-b", SUFFIX, "-s", "base")
    assert run("watch", "--once", *where, *trust).code == 0


def test_scram(run_server: Callable[..., Any]) -> None:
    with missing_servers_skip():
        find_path(PLUGINS, "libsasl2-modules")
    server = run_server(Slapd, extra_config=CONFIG)
    with server.connected() as admin:
        for number in (1, 2):
            attrs = {**person(number), "userPassword": [SECRET.encode()]}
            if number == 1:
                attrs["authzTo"] = [f"dn:{person_dn(2)}".encode()]
            admin.add_s(person_dn(number), list(attrs.items()))
    where = ("watch", "--once", "--brief", "-H", server.url, "-b", SUFFIX, "-s", "base")
    user = ("-Y", "scram-sha-256", "-U", uid(1))
    env = {"SYNCREPL_PASSWORD": SECRET}
    assert run(*where, *user, env=env).code == 0
    assert run(*where, *user, "-X", f"dn:{person_dn(2)}", env=env).code == 0
    refused = run(*where, *user, "-X", f"dn:{person_dn(3)}", env=env)
    assert (refused.code, refused.out) == (77, "")
    assert run(*where, *user, env={"SYNCREPL_PASSWORD": "wrong"}).code == 77


def test_external(server: Slapd) -> None:
    where = ("-H", server.ldapi_url, "-b", SUFFIX, "-s", "base")
    assert run("watch", "--once", *where, "-Y", "EXTERNAL").code == 0
