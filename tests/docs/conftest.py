# SPDX-License-Identifier: BSD-3-Clause
"""A directory with people who come, change and go."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from tests.docs.snippets import ROOT, Block, here
from tests.patience import HANGS_SECONDS
from tests.servers import Server, Slapd
from tests.servers.people import SUFFIX, people_ldif, person, person_dn
from tests.servers.postgresql import PostgreSQL

PEOPLE = 60
READER = f"""\
dn: cn=reader,{SUFFIX}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: secret

"""


class Directory:
    """A server, and a life for it."""

    def __init__(self, server: Slapd) -> None:
        self.server = server
        self._turn = 0

    def change(self) -> dict[str, str]:
        """Add, change, rename and delete a person each; return their DNs by what happened."""
        number, self._turn = 4 * self._turn, self._turn + 1
        changed, renamed, deleted = (person_dn(number + each) for each in range(3))
        added = person_dn(1000 + number)
        mail = [(ldap.MOD_REPLACE, "mail", f"new.{number}@example.com".encode())]
        with self.server.connected() as connection:
            connection.modify_s(changed, mail)
            connection.rename_s(renamed, f"uid=renamed{number}")
            connection.modify_s(renamed_dn := f"uid=renamed{number},ou=people,{SUFFIX}", mail)
            connection.delete_s(deleted)
            connection.add_s(added, list(person(1000 + number).items()))
        return {
            "added": added,
            "changed": changed,
            "renamed": renamed,
            "new": renamed_dn,
            "deleted": deleted,
        }


@pytest.fixture
def directory(run_server: Callable[..., Any]) -> Directory:
    """A directory with sixty people, a user who may read it, and TLS."""
    ldif = people_ldif(PEOPLE) + READER
    return Directory(run_server(Slapd, sessionlog=1000, tls=True, ldif=ldif))


@pytest.fixture
def directory_database(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PostgreSQL database; libpq finds its server by itself."""
    postgresql.execute("CREATE DATABASE directory")
    monkeypatch.setenv("PGHOST", str(postgresql.directory))
    monkeypatch.setenv("PGPORT", str(postgresql.port))
    monkeypatch.setenv("PGUSER", postgresql.user)
    yield
    postgresql.execute("DROP DATABASE directory WITH (FORCE)")


@pytest.fixture
def workplace(directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory with what the documentation says must be there."""
    (tmp_path / "state").mkdir()
    shutil.copy(str(directory.server.ca_file), tmp_path / "ca.pem")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LDAP_PASSWORD", "secret")
    return tmp_path


def split_arguments(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What comes before the mark ``--``, and what comes after it, or without it."""
    mark = arguments.index("--") + 1 if "--" in arguments else 0
    return arguments[: max(mark - 1, 0)], arguments[mark:]


class Program:
    """A program from the documentation, running."""

    def __init__(self, block: Block, server: Server, place: Path, *arguments: str) -> None:
        """Start it with *arguments*; those before a ``--`` are for Python, before its name."""
        assert block.program is not None
        before, after = split_arguments(arguments)
        file = place / block.program
        file.write_text(here(block.text, server), encoding="utf-8")
        self._place = place
        self._output = place / f"{block.program}.out"
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", *before, str(file), *after],
                cwd=place,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until it has written *text*."""
        self.wait_until(lambda: text in self.output(), text)

    def wait_for_file(self, name: str, *texts: str) -> None:
        """Wait until all of *texts* are in one line of a file."""
        file = self._place / name

        def there() -> bool:
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            return any(all(text in line for text in texts) for line in lines)

        self.wait_until(there, f"{texts} in {name}")

    def wait_until(self, done: Callable[[], bool], what: str) -> None:
        """Wait, while it runs, until *done*."""
        deadline = time.monotonic() + HANGS_SECONDS
        while not done():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no {what!r} in:\n{self.output()}")
            time.sleep(0.02)

    def wait(self) -> str:
        """Wait for its end; return what it has written."""
        assert self._process.wait(timeout=HANGS_SECONDS) == 0, self.output()
        return self.output()

    def terminate(self) -> None:
        """Tell it to end."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> str:
        """Tell it to end; return what it has written."""
        self.terminate()
        return self.wait()

    def fail(self, code: int = 1) -> str:
        """Wait for its end, by an error; return what it has written."""
        assert self._process.wait(timeout=HANGS_SECONDS) == code, self.output()
        return self.output()

    def wait_for_kill(self) -> None:
        """Wait until it has killed itself."""
        assert self._process.wait(timeout=HANGS_SECONDS) == -signal.SIGKILL, self.output()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a program against a server."""
    started: list[Program] = []

    def run(block: Block, server: Server, *arguments: str) -> Program:
        (tmp_path / f"{block.program}.out").unlink(missing_ok=True)
        started.append(Program(block, server, tmp_path, *arguments))
        return started[-1]

    yield run
    for program in started:
        program.kill()


@pytest.fixture
def start(
    directory: Directory, workplace: Path, launch: Callable[..., Program]
) -> Callable[..., Program]:
    """A function that starts a program in the workplace."""

    def run(block: Block, *arguments: str) -> Program:
        return launch(block, directory.server, *arguments)

    return run
