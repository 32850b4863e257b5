# SPDX-License-Identifier: BSD-3-Clause
"""Other programs that read the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import ldap

from bench.directory import Place, maxsize
from bench.measure import ROOT, Run, TooSlow, measure, program
from tests.servers import Slapd
from tests.servers.people import SUFFIX
from tests.servers.process import find_program

EARLIER = "0.95.1"
EARLIER_SECONDS = 180.0
CONSUMER_SECONDS = 600.0
POLL_SECONDS = 0.01


def ldapsearch(server: Slapd, mode: str = "ro", cookie: str | None = None) -> list[str]:
    """The command that reads everything with ldapsearch."""
    return _search(server, "-E", f"!sync={mode}" if cookie is None else f"!sync={mode}/{cookie}")


def ldapsearch_ldif(server: Slapd) -> list[str]:
    """The command that writes everything as LDIF without comments with ldapsearch."""
    return _search(server, "-LLL")


def _search(server: Slapd, *options: str) -> list[str]:
    where = ["-x", "-H", server.url, "-b", SUFFIX, *options]
    return [find_program("ldapsearch", "ldap-utils"), *where, "(objectClass=*)", "*"]


def python_ldap(place: Place, module: str = "ldap.syncrepl") -> Run:
    """python-ldap's SyncreplConsumer, or that of another module; it stores nothing."""
    return measure(program("consumer", module, place.server.url, SUFFIX))


class Consumer(Slapd):
    """A slapd that fetches its content from another one."""

    began = 0.0

    def __init__(self, provider: Slapd, maxsize: int) -> None:
        replica = (
            f"syncrepl rid=1 provider={provider.url} searchbase={SUFFIX} bindmethod=simple "
            'type=refreshOnly interval=01:00:00:00 filter="(objectClass=*)" attrs="*" '
            "scope=sub schemachecking=off sizelimit=unlimited timelimit=unlimited"
        )
        super().__init__(syncprov=False, extra_database=replica, ldif="", maxsize=maxsize)

    def _command(self) -> list[str]:
        self.began = time.monotonic()
        return super()._command()


def slapd(place: Place) -> Run:
    """A second slapd: from its start until it has the contextCSN of the first one."""
    wanted = context_csn(place.server)
    with Consumer(place.server, maxsize(place.entries)) as consumer:
        while context_csn(consumer) != wanted:
            if time.monotonic() - consumer.began > CONSUMER_SECONDS:
                raise TooSlow("slapd as a consumer")
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - consumer.began
        return Run(seconds, _cpu(consumer.pid))


def context_csn(server: Slapd) -> list[bytes]:
    """How far a server is."""
    connection = ldap.initialize(server.url)
    try:
        found = connection.search_s(SUFFIX, ldap.SCOPE_BASE, "(objectClass=*)", ["contextCSN"])
    except ldap.NO_SUCH_OBJECT:
        return []
    finally:
        connection.unbind_s()
    values: list[bytes] = found[0][1].get("contextCSN", [])
    return values


def _cpu(pid: int) -> float:
    """The CPU time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def earlier(place: Place) -> Run:
    """syncrepl-client 0.95.1, into its own store."""
    python = install_earlier()
    command = program("earlier", f"{place.empty('earlier')}/", place.url, python=python)
    return measure(command, limit=EARLIER_SECONDS, path=None)


def install_earlier() -> str:
    """The Python of an environment with syncrepl-client 0.95.1, made if it isn't there.

    Its dependencies are older than this Python; it runs with today's python-ldap.
    """
    home = ROOT / ".build" / "bench" / f"syncrepl-client-{EARLIER}"
    python, stamp = home / "bin" / "python", home / ".installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, f"python-ldap=={ldap.__version__}"], check=True)
        subprocess.run([*pip, "--no-deps", f"syncrepl-client=={EARLIER}"], check=True)
        stamp.touch()
    return str(python)
