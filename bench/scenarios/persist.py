# SPDX-License-Identifier: BSD-3-Clause
"""Following a directory while it changes: one change at a time, and as fast as it can."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import quantiles
from typing import Any

import ldap

from bench import peers
from bench.directory import Place, describe, read_cookie, write
from bench.measure import Background, Figure, background, program
from bench.scenarios.outcome import LDAPSEARCH, Outcome
from tests.servers import Slapd
from tests.servers.people import SUFFIX, person_dn

CHANGES = 1000
PAUSE_SECONDS = 0.005
SETTLE_SECONDS = 1.0
WRITERS = 4
BURST = 20_000
MILLISECONDS = 1e3


def latency(place: Place) -> Outcome:
    """One change at a time: from the write's answer to the callback and to the commit.

    ldapsearch reads the same at the same time.  A value below 0 came before the answer.
    """
    store = place.store()
    listening = peers.ldapsearch(place.server, "rp", read_cookie(store))
    following = program("follow", f"{store}/", place.url, 0, CHANGES)
    with (
        background(program("listen", CHANGES, *listening)) as listener,
        background(following) as follower,
    ):
        time.sleep(SETTLE_SECONDS)
        answered = one_at_a_time(place.server, place.entries)
        ours = follower.said()["marks"]
        other = listener.said()["marks"]
    moments = {
        "callback": {name: heard for name, (heard, _) in ours.items()},
        "commit": {name: committed for name, (_, committed) in ours.items()},
        LDAPSEARCH: other,
    }
    outcome = Outcome()
    for kind, times in moments.items():
        taken = [MILLISECONDS * (times[name] - done) for name, done in answered.items()]
        outcome.series[kind] = [round(each, 4) for each in taken]
        cuts = quantiles(taken, n=100)
        outcome.figures[f"{kind} median"] = Figure.of([cuts[49]])
        outcome.figures[f"{kind} p99"] = Figure.of([cuts[98]])
    return outcome


def one_at_a_time(
    server: Slapd, entries: int, word: str = "mark", changes: int = CHANGES
) -> dict[str, float]:
    """Make the changes, to descriptions that begin with *word*; return when each was answered."""
    answered = {}
    with server.connected() as connection:
        for number in range(changes):
            mark = f"{word} {number}"
            dn = person_dn(number % (entries // 2))
            connection.modify_s(dn, [(ldap.MOD_REPLACE, "description", [mark.encode()])])
            answered[mark] = time.monotonic()
            time.sleep(PAUSE_SECONDS)
    return answered


def burst(place: Place) -> Outcome:
    """Writers as fast as slapd takes it: from the last answer to the last commit."""
    outcome = Outcome()
    delays, writes, commits = [], [], []
    for turn in range(place.pairs):
        began, answered, committed = _one_burst(place, turn)
        delays.append(committed - answered)
        writes.append(BURST / (answered - began))
        commits.append(BURST / (committed - began))
    outcome.note("delay", delays)
    outcome.note("writes a second", writes)
    outcome.note("commits a second", commits)
    return outcome


def _one_burst(place: Place, turn: int) -> tuple[float, float, float]:
    """Return when it began, when the last change was answered, and when it was committed."""
    store = place.copy(place.store(), "burst")
    following = program("follow", f"{store}/", place.url, 0, WRITERS)
    with background(following) as follower, ExitStack() as stack:
        writers: list[Background] = []
        for number in range(WRITERS):
            command = write_burst(place.server, number, WRITERS * turn + number)
            writers.append(stack.enter_context(background(command)))
        for writer in writers:
            writer.go()
        said: list[dict[str, Any]] = [writer.said() for writer in writers]
        committed = follower.said()["done"]
    clean(place.server)
    began = min(each["began"] for each in said)
    return began, max(each["done"] for each in said), committed


def write_burst(server: Slapd, place: int, number: int) -> list[str]:
    """The command of one of the writers."""
    bind = (server.url, server.root_dn, server.root_pw, SUFFIX)
    return program("write", *bind, number, BURST // WRITERS, person_dn(place))


def clean(server: Slapd) -> None:
    """Delete what the writers left."""
    with server.connected() as connection:
        base = f"ou=people,{SUFFIX}"
        found = connection.search_s(base, ldap.SCOPE_ONELEVEL, "(uid=w*)", ["1.1"])
    write(server, (("delete_ext", dn) for dn, _ in found))
    write(server, [describe(person_dn(number), "as before") for number in range(WRITERS)])
