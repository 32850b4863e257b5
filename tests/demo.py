# SPDX-License-Identifier: BSD-3-Clause
"""What ``make demo`` shows: demo.py follows a throw-away directory while people come and go."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

import ldap
from ldap.ldapobject import LDAPObject

from syncrepl_client.testing import Slapd

DEMO = Path(__file__).parent.parent / "demo.py"
QUIET_SECONDS = 0.4
PATIENCE_SECONDS = 10

Step = tuple[str, Callable[[LDAPObject], object]]

BASE = "dc=example,dc=com"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"


def person(name: str) -> list[tuple[str, list[bytes]]]:
    given, family = name.split()
    return [
        ("objectClass", [b"inetOrgPerson"]),
        ("cn", [name.encode()]),
        ("sn", [family.encode()]),
        ("givenName", [given.encode()]),
        ("mail", [f"{given.lower()}@example.com".encode()]),
    ]


def replace(name: str, value: str) -> list[tuple[int, str, list[bytes]]]:
    return [(ldap.MOD_REPLACE, name, [value.encode()])]


BEFORE: list[Step] = [
    ("", lambda directory: directory.add_s(f"cn=Ada Lovelace,{PEOPLE}", person("Ada Lovelace"))),
    ("", lambda directory: directory.add_s(f"cn=Alan Turing,{PEOPLE}", person("Alan Turing"))),
]
CONNECTED: list[Step] = [
    (
        "Grace Hopper joins",
        lambda directory: directory.add_s(f"cn=Grace Hopper,{PEOPLE}", person("Grace Hopper")),
    ),
    (
        "Ada gets a new mail address",
        lambda directory: directory.modify_s(
            f"cn=Ada Lovelace,{PEOPLE}", replace("mail", "countess@example.com")
        ),
    ),
    (
        "Alan goes by another name",
        lambda directory: directory.rename_s(f"cn=Alan Turing,{PEOPLE}", "cn=A. M. Turing"),
    ),
    (
        "the department is renamed, and all who are in it move along",
        lambda directory: directory.rename_s(PEOPLE, "ou=engineers"),
    ),
    (
        "Ada leaves",
        lambda directory: directory.delete_s(f"cn=Ada Lovelace,ou=engineers,{BASE}"),
    ),
]
AWAY: list[Step] = [
    (
        "while nobody listens, Grace moves to another department",
        lambda directory: directory.rename_s(
            f"cn=Grace Hopper,ou=engineers,{BASE}", "cn=Grace Hopper", GROUPS
        ),
    ),
]


class Demo:
    """demo.py as a process of its own, what it prints shown as it comes."""

    def __init__(self, *arguments: str) -> None:
        print(f"\n$ demo.py {' '.join(arguments)}", flush=True)
        self._rest = b""
        self.process = subprocess.Popen(
            [sys.executable, str(DEMO), *arguments], stdout=subprocess.PIPE, bufsize=0
        )

    def show(self, patience: float = PATIENCE_SECONDS) -> None:
        """Print what comes, until nothing more does."""
        assert self.process.stdout is not None
        while select.select([self.process.stdout], [], [], patience)[0]:
            read = os.read(self.process.stdout.fileno(), 65536)
            if not read:
                break
            *lines, self._rest = (self._rest + read).split(b"\n")
            for line in lines:
                print(f"    {line.decode()}", flush=True)
            patience = QUIET_SECONDS

    def end(self) -> None:
        """Wait for its end, and see that it was a good one."""
        self.show()
        if self.process.wait(PATIENCE_SECONDS) != 0:
            raise SystemExit(f"demo.py ended with {self.process.returncode}")
        assert self.process.stdout is not None
        self.process.stdout.close()


def change(server: Slapd, steps: list[Step], demo: Demo | None = None) -> None:
    with server.connected() as directory:
        for text, step in steps:
            if text:
                print(f"\n{text}:", flush=True)
            step(directory)
            if demo is not None:
                demo.show()


def main() -> None:
    with Slapd(sessionlog=100) as server, tempfile.TemporaryDirectory() as directory:
        url, path = f"{server.url}/{BASE}??sub", f"{directory}/"
        change(server, BEFORE)
        print("A directory with two people in it. The first run is told of everything.")
        demo = Demo(url, path, "--persist")
        demo.show()
        change(server, CONNECTED, demo)
        print("\nStopped with SIGTERM, as a service manager would.", flush=True)
        demo.process.terminate()
        demo.end()
        change(server, AWAY)
        print("\nThe same data path again: what happened meanwhile, and nothing twice.", flush=True)
        Demo(url, path).end()
        print("\nAnd once more: nothing happened, nothing comes.", flush=True)
        Demo(url, path).end()


if __name__ == "__main__":
    main()
