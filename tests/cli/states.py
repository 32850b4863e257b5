# SPDX-License-Identifier: BSD-3-Clause
"""States for the subcommands that look at one."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.cli.commands import run
from tests.patience import HANGS_SECONDS
from tests.servers import Server
from tests.servers.people import SUFFIX

FILE = "syncrepl.sqlite3"


def everything(server: Server) -> str:
    return f"{server.url}/{SUFFIX}??sub"


def fill(server: Server, state: Path, url: str | None = None, *, as_root: bool = False) -> None:
    """Have ``watch`` make a state, or bring it up to date."""
    who = ["-D", server.root_dn] if as_root else []
    arguments = ["--once", "--brief", "-d", str(state), url or everything(server), *who]
    done = run("watch", *arguments, env={"SYNCREPL_PASSWORD": server.root_pw} if who else {})
    assert done.code == 0, done.err


def spoil(state: Path, *statements: str) -> None:
    """Change entries of a state, as a fault of a server or of the library would."""
    with closing(sqlite3.connect(state / FILE)) as database, database:
        for statement in statements:
            assert database.execute(statement).rowcount > 0


def wait_until_kept(file: Path, dn: str) -> None:
    """Wait until an entry is committed, while ``watch`` is at work."""
    deadline = time.monotonic() + HANGS_SECONDS
    with closing(sqlite3.connect(file)) as database:
        while not database.execute("SELECT 1 FROM syncrepl_entry WHERE dn = ?", (dn,)).fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def fingerprint(state: Path) -> dict[str, str]:
    """Every file of a state, byte by byte."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in state.iterdir()}
