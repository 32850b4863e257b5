# SPDX-License-Identifier: BSD-3-Clause
"""What it costs to read each entry of 389-ds's persist stage again, before it is told.

    python -m bench.rereading

A client waits in the persist stage without polling while entries are changed.  Then it is timed
until it has committed all of them: by the clock, and by the processor time of client and server.
Apart from that, changes are made one at a time, from the server's answer to the callback.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import ldap

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from tests.servers import DS389
from tests.servers.people import SUFFIX, person, person_dn

ROUNDS, CHANGES, SINGLES = 2, 500, 100
ACI = (
    '(targetattr != "{}")(version 3.0; acl "anyone reads";'
    ' allow (read, search, compare) userdn = "ldap:///anyone";)'
)
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "as sent (trust_persist)": ("userPassword", {"trust_persist": True}),
    "read again": ("userPassword", {}),
    "read again, nsUniqueId hidden": ("userPassword || nsUniqueId", {}),
}


class Counter(BaseCallback):
    """Notes how many changes it heard of, and when the last one was."""

    def __init__(self) -> None:
        self.changes = 0
        self.last = 0.0

    def record_change(self, dn: str, old_attrs: object, new_attrs: object) -> None:
        self.changes += 1
        self.last = time.monotonic()


def server_seconds(server: DS389) -> float:
    """Processor time that the server has taken."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def follow(server: DS389, way: str, directory: str, counter: Counter) -> Syncrepl:
    """Begin to follow in that way, up to the persist stage."""
    hidden, options = WAYS[way]
    with server.connected() as admin:
        rules = [(ldap.MOD_REPLACE, "aci", [ACI.format(hidden).encode()])]
        admin.modify_s(SUFFIX, rules)
    url = f"{server.url}/{SUFFIX}??sub"
    mode = SyncreplMode.REFRESH_AND_PERSIST
    client = Syncrepl(f"{directory}/", counter, mode, url, **options)
    while not client.refreshed:
        client.poll(1)
    return client


def change(server: DS389, numbers: range) -> Iterator[None]:
    """Change one entry after the other."""
    with server.connected() as admin:
        for number in numbers:
            mark = f"{number} {time.monotonic()}".encode()
            admin.modify_s(person_dn(number), [(ldap.MOD_REPLACE, "description", [mark])])
            yield


def backlog(server: DS389, way: str) -> dict[str, float]:
    """Return what each change of many costs, in microseconds."""
    counter = Counter()
    with tempfile.TemporaryDirectory() as path, follow(server, way, path, counter) as client:
        for _ in change(server, range(CHANGES)):
            pass
        began = time.monotonic(), time.process_time(), server_seconds(server)
        while counter.changes < CHANGES or client.store.in_transaction:
            client.poll(1)
        ended = time.monotonic(), time.process_time(), server_seconds(server)
    names = ("clock", "client", "server")
    return {n: 1e6 * (b - a) / CHANGES for n, a, b in zip(names, began, ended)}


def one_at_a_time(server: DS389, way: str) -> float:
    """Return how long a change takes from the server's answer to the callback, in microseconds."""
    counter = Counter()
    taken = []
    with tempfile.TemporaryDirectory() as path, follow(server, way, path, counter) as client:
        for _ in change(server, range(SINGLES)):
            answered, before = time.monotonic(), counter.changes
            while counter.changes == before:
                client.poll(1)
            taken.append(1e6 * (counter.last - answered))
    return median(taken)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    costs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with DS389() as server:
        with server.connected() as admin:
            for number in range(CHANGES):
                admin.add_s(person_dn(number), list(person(number).items()))
        for _ in range(ROUNDS):
            for way, found in costs.items():
                found.append({**backlog(server, way), "single": one_at_a_time(server, way)})
    print(f"{'microseconds a change, median of ' + str(ROUNDS):40}", end="")
    print("".join(f"{name:>10}" for name in ("clock", "client", "server", "single")))
    for way, found in costs.items():
        figures = (median(each[name] for each in found) for name in found[0])
        print(f"{way:40}" + "".join(f"{figure:10.0f}" for figure in figures))


if __name__ == "__main__":
    main()
