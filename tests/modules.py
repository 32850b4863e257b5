# SPDX-License-Identifier: BSD-3-Clause
"""Which modules a program imports: start is cheap, as what it does not need is not imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

PACKAGE = "syncrepl_client"
UNUSED = (
    "asynchronous", "changelog", "cli", "doctor", "engine.callbackretry", "engine.figures",
    "engine.lag", "engine.misnaming", "engine.missed", "engine.rereading", "engine.stats",
    "engine.verification", "entries.differences", "entries.filters", "entries.text", "formats",
    "network.configuration", "network.handshake", "network.lookup", "network.pages",
    "network.parentage", "protocol.foreign", "service", "sinks", "store.holder", "store.log",
    "store.mapping", "store.memory", "store.postgresql", "store.reading", "store.scratch",
    "store.shelve", "store.sqlite.log", "store.sqlite.reading", "testing", "together",
    "waiting.greenlets",
)  # fmt: skip
"""Modules and packages that a client does not need to resume on OpenLDAP."""
HEAVY = {
    "asyncio", "concurrent", "ctypes", "dataclasses", "dbm", "decimal", "inspect",
    "multiprocessing", "psycopg", "sqlite3", "ssl", "statistics", "subprocess", "unittest", "xml",
}  # fmt: skip
"""What takes long to import, and is for some programs only."""


def imported(code: str, *arguments: str) -> set[str]:
    """Return the modules that a new Python has imported after *code*."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def superfluous(found: set[str], needed: Collection[str] = ()) -> set[str]:
    """Return those of the modules *found* that a client has no use for; *needed* is none of them.

    What python-ldap imports is there anyway.
    """
    unused = (*HEAVY.difference(needed), *(f"{PACKAGE}.{each}" for each in UNUSED))
    starts = tuple(f"{each}." for each in unused)
    return {each for each in found - imported("import ldap") if f"{each}.".startswith(starts)}
