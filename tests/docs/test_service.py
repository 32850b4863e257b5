# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's service, and what starts it: a unit of systemd, a container."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import click
import pytest

from syncrepl_client.cli.commands.watch import command as watch
from syncrepl_client.cli.exits import Exit
from tests.cli.commands import Done, run
from tests.docs.conftest import PEOPLE, Directory, Program
from tests.docs.snippets import ROOT, blocks, recipe
from tests.patience import HANGS_SECONDS
from tests.servers.missing import needs_httpx
from tests.servers.people import SUFFIX
from tests.servers.receiver import SECRET, write_secret

Start = Callable[..., Program]
EXAMPLES = ROOT / "docs" / "examples"
UNIT = EXAMPLES / "syncrepl-client.service"
RUN_UNIT = EXAMPLES / "syncrepl-run.service"
PAGE = ROOT / "docs" / "service.rst"


@pytest.fixture
def told(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd would give the service: directories, a credential, a socket to tell it."""
    (workplace / "credentials").mkdir(mode=0o700)
    password = workplace / "credentials" / "password"
    password.write_text("secret\n")
    password.chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(password.parent))
    monkeypatch.setenv("STATE_DIRECTORY", str(workplace / "state"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(workplace / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(workplace / "notify"))
        receiver.settimeout(HANGS_SECONDS)
        yield receiver


def url(directory: Directory, bindname: str = f"cn=reader,{SUFFIX}") -> str:
    search = f"{SUFFIX}?cn,mail?sub?(objectClass=person)"
    return f"{directory.server.url}/{search}?bindname={bindname.replace(',', '%2C')}"


def until(receiver: socket.socket, text: bytes) -> bytes:
    """Receive until there is *text*; return the message that has it."""
    deadline = time.monotonic() + HANGS_SECONDS
    while text not in (message := receiver.recv(4096)):
        assert time.monotonic() < deadline, message
    return message


def test_the_service_tells_systemd(
    directory: Directory, told: socket.socket, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LDAP_URL", url(directory))
    running = start(recipe("service.py"))
    assert b"follows %d entries" % PEOPLE in until(told, b"READY=1\n")
    dns = directory.change()
    running.wait_for(f"add {dns['added']}")
    until(told, b"WATCHDOG=1")
    directory.server.stop()
    until(told, b"STATUS=the server is away")
    directory.server.start()
    until(told, b"STATUS=follows")
    running.stop()
    until(told, b"STOPPING=1")


def test_the_service_gives_up_where_somebody_must_look(
    directory: Directory, told: socket.socket, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    (given_up,) = re.findall(r"^EX_CONFIG = (\d+)", recipe("service.py").text, re.M)
    monkeypatch.setenv("LDAP_URL", url(directory, f"cn=nobody,{SUFFIX}"))
    assert "Invalid credentials" in start(recipe("service.py")).fail(int(given_up))
    monkeypatch.setenv("LDAP_URL", "http://localhost/")
    assert "CRITICAL service: " in start(recipe("service.py")).fail(int(given_up))
    monkeypatch.setenv("LDAP_URL", url(directory))
    directory.server.stop()
    assert "Can't contact LDAP server" in start(recipe("service.py")).fail(1)


@pytest.mark.parametrize("path", [UNIT, RUN_UNIT], ids=lambda path: str(path.name))
def test_systemd_accepts_the_unit(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None and "CI" not in os.environ:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    text = path.read_text(encoding="utf-8")
    unit = tmp_path / path.name
    program = "/opt/syncrepl-client/bin/syncrepl-client"
    assert text.count(f"ExecStart={program} ") == 1
    unit.write_text(text.replace(program, sys.executable), encoding="utf-8")

    def complaints() -> list[str]:
        """What it says of this unit: it looks at those of the system too."""
        command = [str(analyze), "verify", "--man=no", str(unit)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return [line for line in done.stdout.splitlines() if path.stem in line]

    assert complaints() == []
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=allways"))
    assert "allways" in "".join(complaints())


def test_the_unit_runs_the_command() -> None:
    text = UNIT.read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=\S+/syncrepl-client (.*)$", text, re.MULTILINE)
    words = shlex.split(command.replace("%d", "/credentials").replace("%S", "/var/lib"))
    words = [word.replace("%%", "%") for word in words]
    assert words[0] == "watch"
    given, others, _ = watch.make_parser(click.Context(watch)).parse_args(words[1:])
    assert others == []
    assert given["words"][0].startswith("ldaps://")
    assert given["password_file"] == "/credentials/password"
    assert "LoadCredential=password:" in text
    assert given["data_path"] == "/var/lib/syncrepl-client"
    assert "StateDirectory=syncrepl-client\n" in text
    assert "Type=notify" in text
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
    final = {Exit.USAGE, Exit.DELETES, Exit.REFUSED, Exit.CONFIG}
    assert set(map(int, codes.split())) == {int(each) for each in final}


def test_the_unit_of_run() -> None:
    text = RUN_UNIT.read_text(encoding="utf-8")
    commands = re.findall(r"^ExecStart(Pre)?=\S+/syncrepl-client (.*)$", text, re.MULTILINE)
    assert [shlex.split(words) for _, words in commands] == [
        ["run", "--check", "/etc/syncrepl-client/config.toml"],
        ["run", "/etc/syncrepl-client/config.toml"],
    ]
    hardening = "# What it does not need.\n"
    other = UNIT.read_text(encoding="utf-8")
    assert text.partition(hardening)[2] == other.partition(hardening)[2] != ""
    (codes,) = re.findall(r"^RestartPreventExitStatus=.*$", text, re.MULTILINE)
    assert codes in other


def configuration(place: Path) -> str:
    """The file in docs/service.rst, with places that are there."""
    (text,) = [block.text for block in blocks(PAGE) if block.name == "config.toml"]
    for name in ("etc", "var"):
        (place / name).mkdir(exist_ok=True)
    write_secret(place / "etc" / "crm.secret")
    write_secret(place / "etc" / "password")
    text = text.replace("/etc/syncrepl-client", f"{place}/etc")
    return text.replace("/var/lib/syncrepl-client", f"{place}/var")


def check(place: Path, text: str) -> Done:
    (place / "config.toml").write_text(text, encoding="utf-8")
    env = {"CRM_SECRET": SECRET}
    return run("run", "--check", "config.toml", cwd=place, env=env)


@needs_httpx
def test_the_configuration(tmp_path: Path) -> None:
    text = configuration(tmp_path)
    assert check(tmp_path, text) == (0, "", "")
    wrong = text.replace("max_deletes", "max_delets").replace("secret_file", "secret")
    shown = re.findall(r"^ +(config.toml:.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert check(tmp_path, wrong).err.splitlines() == shown


def test_every_key_is_told() -> None:
    """Each key that the code reads is in the tables of docs/service.rst."""
    page = PAGE.read_text(encoding="utf-8")
    told = set(re.findall(r"``([a-z_]+)``", page))
    service = ROOT / "syncrepl_client" / "cli" / "service"
    names = {
        name
        for path in service.glob("*settings.py")
        for name in re.findall(r'\b(?:table|service|log)\.get\("([a-z_]+)"', path.read_text())
    }
    assert len(names) > 25
    assert names <= told


def test_the_container_is_made_of_what_is_there() -> None:
    text = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    assert [name for line in copies for name in line.split() if not (ROOT / name).exists()] == []
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    program = entry.split('"')[3]
    assert f"COPY docs/cookbook/service.py {program}\n" in text
