# SPDX-License-Identifier: BSD-3-Clause
"""Two writers hammer 389-ds while a client stops and starts; then what was lost is counted.

Each entry is added, changed and deleted at most once, so nothing that is lost is made good by
what comes later:

    python -m tests.transitions --starts 300
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import ldap

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.entries.attributes import Attributes
from tests.mirror import Mirror, content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import DS389
from tests.servers.people import person, uid

_context = multiprocessing.get_context("spawn")


class TransitionsFailed(AssertionError):
    """The client and the server are not the same at the end."""


def write(url: str, bind: tuple[str, str], base: str, writer: int, stop: Any) -> None:
    """Add entries; change one in three of them, and delete one in five, once each, later on."""
    connection: Any = ldap.initialize(url)
    connection.simple_bind_s(*bind)
    number = writer * 1_000_000
    while not stop.is_set():
        number += 1
        attrs = list(person(number).items())
        connection.add_s(f"uid={uid(number)},{base}", attrs)
        old = f"uid={uid(number - 20)},{base}"
        if number % 1_000_000 <= 20:
            continue
        if number % 3 == 0:
            connection.modify_s(old, [(ldap.MOD_REPLACE, "description", [b"changed"])])
        elif number % 5 == 0:
            connection.delete_s(old)
    connection.unbind_s()


@contextlib.contextmanager
def writers(server: DS389, base: str, count: int) -> Iterator[None]:
    stop = _context.Event()
    bind = (server.root_dn, server.root_pw)
    arguments = [(server.url, bind, base, number, stop) for number in range(1, count + 1)]
    processes = [_context.Process(target=write, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        stop.set()
        for process in processes:
            process.join()
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        raise TransitionsFailed(f"writers failed: {failed}")


class GrowingMirror(Mirror):
    """Is compared at the end only: the directory grows as long as that takes."""

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        self.refreshes += 1


class Follower:
    """A client that is stopped soon after each start, in the middle of the persist stage."""

    def __init__(self, url: str, data_path: str, chance: random.Random) -> None:
        self.url = url
        self.data_path = data_path
        self.chance = chance
        self.mirror = GrowingMirror()

    def start(self) -> Syncrepl:
        mode = SyncreplMode.REFRESH_AND_PERSIST
        return Syncrepl(self.data_path, self.mirror, mode, self.url)

    def run_shortly(self) -> None:
        with self.start() as client:
            while not client.refreshed:
                client.poll(1)
            until = len(self.mirror.changes) + self.chance.randint(1, 40)
            while len(self.mirror.changes) < until and client.poll(1):
                pass
            client.please_stop()
            client.poll(0)
            # A change that was told and not committed is told again.
            self.mirror.roll_back()

    def catch_up(self, server: DS389, base: str) -> None:
        """Start once more, follow a last change, and compare."""
        with self.start() as client, server.connected() as connection:
            while not client.refreshed:
                client.poll(1)
            marker = f"uid=marker,{base}"
            connection.add_s(marker, list({**person(0), "uid": [b"marker"]}.items()))
            deadline = time.monotonic() + HANGS_SECONDS
            while marker not in self.mirror.entries:
                if time.monotonic() > deadline:
                    raise TransitionsFailed("the client does not catch up")
                client.poll(1)
            expected = server_content(connection, base, ldap.SCOPE_SUBTREE, "(objectClass=*)", [])
        found = content(self.mirror.entries)
        missing = sorted(expected.keys() - found.keys())
        extra = sorted(found.keys() - expected.keys())
        other = sorted(dn for dn in found.keys() & expected.keys() if found[dn] != expected[dn])
        if missing or extra or other:
            raise TransitionsFailed(
                f"{len(missing)} adds, {len(extra)} deletes and {len(other)} changes were lost: "
                f"{(missing + extra + other)[:5]}"
            )


class Reasons(logging.Handler):
    """Counts what the client says at INFO, its numbers left out."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[re.sub(r"\d+", "N", record.getMessage())] += 1


def run(server: DS389, starts: int, seed: int, busy: int = 2) -> Mirror:
    """Stop and start so often under that many writers.

    Raises:
        TransitionsFailed: something was lost.
    """
    base = f"ou=transitions-{seed}-{time.time_ns()},{server.suffix}"
    with server.connected() as connection:
        connection.add_s(base, [("objectClass", [b"organizationalUnit"])])
    with tempfile.TemporaryDirectory() as directory:
        url = f"{server.url}/{base}??sub"
        follower = Follower(url, f"{directory}/", random.Random(seed))
        with writers(server, base, busy):
            for _ in range(starts):
                follower.run_shortly()
        follower.catch_up(server, base)
    return follower.mirror


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.transitions", description=__doc__)
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--writers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    reasons = Reasons()
    logger = logging.getLogger("syncrepl_client")
    logger.setLevel(logging.INFO)
    logger.addHandler(reasons)
    began = time.monotonic()
    try:
        with DS389() as server:
            mirror = run(server, options.starts, options.seed, options.writers)
        sys.stdout.write(f"nothing was lost of {len(mirror.changes)} changes\n")
        return 0
    except TransitionsFailed as error:
        sys.stdout.write(f"failed: {error}\n")
        return 1
    finally:
        sys.stdout.write(f"{options.starts} starts, {time.monotonic() - began:.0f} s\n")
        for reason, count in reasons.counts.most_common():
            sys.stdout.write(f"{count:6} {reason}\n")


if __name__ == "__main__":
    sys.exit(main())
