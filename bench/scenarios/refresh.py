# SPDX-License-Identifier: BSD-3-Clause
"""Reading everything: for the first time, again without a cookie, and with a stale one."""

from __future__ import annotations

from typing import Callable

from bench import peers
from bench.directory import Place, add_people, delete_people, forget_cookie, read_cookie
from bench.measure import Run, alternate, measure, ratio
from bench.scenarios.outcome import LDAPSEARCH, OURS, Outcome

DELETES = 1000
EARLIER_ONCE = 100_000
"""From so many entries on, syncrepl-client 0.95.1 runs once."""
PEERS_LIMIT = 100_000
"""With more entries than that, only ldapsearch is measured beside this library."""


def refresh(place: Place) -> Outcome:
    """The initial refresh, into an empty store."""
    contestants: dict[str, Callable[[], Run]] = {
        LDAPSEARCH: lambda: measure(peers.ldapsearch(place.server)),
        OURS: lambda: place.refresh(place.empty("first")),
    }
    if place.peers and place.entries <= PEERS_LIMIT:
        contestants["python-ldap"] = lambda: peers.python_ldap(place)
        contestants["slapd"] = lambda: peers.slapd(place)
        peers.install_earlier()
        contestants["syncrepl-client 0.95.1"] = lambda: peers.earlier(place)
    once = ["syncrepl-client 0.95.1"] if place.entries >= EARLIER_ONCE else []
    outcome = Outcome(alternate(place.pairs, contestants, once=once))
    outcome.compare("ratio", OURS, LDAPSEARCH)
    outcome.compare("slapd", "slapd", OURS)
    outcome.compare("python-ldap", "python-ldap", OURS)
    outcome.compare("earlier", "syncrepl-client 0.95.1", OURS)
    outcome.note_memory()
    return outcome


def consumer(place: Place) -> Outcome:
    """python-ldap's SyncreplConsumer and this library's: both are told all, neither stores it."""
    contestants = {
        "python-ldap": lambda: peers.python_ldap(place),
        OURS: lambda: peers.python_ldap(place, "syncrepl_client.consumer"),
    }
    outcome = Outcome(alternate(place.pairs, contestants))
    outcome.compare("wall", "python-ldap", OURS)
    outcome.figures["cpu"] = ratio(
        outcome.runs["python-ldap"], outcome.runs[OURS], lambda run: run.cpu
    )
    return outcome


def reload(place: Place) -> Outcome:
    """The same refresh again without a cookie, when nothing changed."""
    store = place.store()

    def ours() -> Run:
        forget_cookie(store)
        return place.refresh(store)

    return _beside_ldapsearch(place, ours, None)


def present(place: Place) -> Outcome:
    """A stale cookie: the server names all that is still there."""
    stale = place.copy(place.store(), "stale")
    cookie = read_cookie(stale)
    deletes = min(DELETES, place.entries // 10)
    delete_people(place.server, deletes)

    def ours() -> Run:
        return place.refresh(place.copy(stale, "present"), deleted=deletes)

    outcome = _beside_ldapsearch(place, ours, cookie)
    add_people(place.server, deletes)
    return outcome


def _beside_ldapsearch(place: Place, ours: Callable[[], Run], cookie: str | None) -> Outcome:
    command = peers.ldapsearch(place.server, cookie=cookie)
    contestants = {LDAPSEARCH: lambda: measure(command), OURS: ours}
    outcome = Outcome(alternate(place.pairs, contestants))
    outcome.compare("ratio", OURS, LDAPSEARCH)
    outcome.note_memory()
    return outcome
