# SPDX-License-Identifier: BSD-3-Clause
"""A group with many members, of which one changes at a time."""

from __future__ import annotations

import ldap

from bench.directory import Place, write
from bench.measure import background, measure, program
from bench.scenarios.outcome import Outcome
from tests.servers.people import SUFFIX, person_dn

MEMBERS = 50_000
CHANGES = 20
DN = f"cn=everybody,ou=groups,{SUFFIX}"
MILLISECONDS = 1e3


def group(place: Place) -> Outcome:
    """CPU time a change, beside that of python-ldap to read the same entry."""
    members = [person_dn(number).encode() for number in range(MEMBERS)]
    attrs = [("objectClass", [b"groupOfNames"]), ("cn", [b"everybody"]), ("member", members)]
    write(place.server, [("add_ext", DN, attrs)])
    outcome = Outcome()
    ours: list[float] = []
    theirs: list[float] = []
    diffed: list[float] = []
    try:
        url = f"{place.server.url}/{DN}?*?sub?(objectClass=*)"
        store = place.empty("group")
        for turn in range(place.pairs):
            read = measure(program("read", place.server.url, DN, CHANGES)).said["cpu"]
            theirs.append(MILLISECONDS * read / CHANGES)
            for figures, options in ((ours, ()), (diffed, ("diff",))):
                follow = program("follow", f"{store}/", url, CHANGES, 0, *options)
                figures.append(_cost(place, follow, f"{turn} {len(options)}"))
    finally:
        write(place.server, [("delete_ext", DN)])
    outcome.note("python-ldap milliseconds", theirs)
    outcome.note("milliseconds", ours)
    outcome.note("milliseconds with diff", diffed)
    outcome.note("ratio", [one / other for one, other in zip(ours, theirs)])
    return outcome


def _cost(place: Place, follow: list[str], text: str) -> float:
    """Milliseconds of CPU time a change: a member comes, and the one before it goes."""
    requests = []
    for number in range(0, CHANGES, 2):
        member = f"uid={text} {number},{SUFFIX}".encode()
        requests.append(("modify_ext", DN, [(ldap.MOD_ADD, "member", [member])]))
        requests.append(("modify_ext", DN, [(ldap.MOD_DELETE, "member", [member])]))
    with background(follow) as follower:
        for request in requests:
            write(place.server, [request])
        return MILLISECONDS * float(follower.said()["client_cpu"]) / CHANGES
