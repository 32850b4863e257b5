# SPDX-License-Identifier: BSD-3-Clause
"""What is to be reached, at 100,000 entries and at a million."""

from __future__ import annotations

from dataclasses import dataclass

from bench.measure import Figure

TIMES = "\N{MULTIPLICATION SIGN}"
ENTRIES = 100_000
LARGE = 1_000_000


@dataclass(frozen=True)
class Target:
    """A figure of a scenario, and its limit.

    large: the limit at a million entries; None: there is none.
    growth: how many times the figure at 100,000 it may be at a million, instead.
    """

    what: str
    scenario: str
    figure: str
    limit: float
    unit: str = TIMES
    faster: bool = False
    large: float | None = None
    growth: float | None = None

    @property
    def text(self) -> str:
        """The limit, or both, as they are written in the table."""
        text = f"{'≥' if self.faster else '≤'} {self.limit:g} {self.unit}"
        if self.growth is not None:
            return f"{text}; the same + {self.growth - 1:.0%} at {LARGE:,}"
        if self.large is not None and self.large != self.limit:
            return f"{text}; {self.large:g} {self.unit} at {LARGE:,}"
        return text

    def reached(self, entries: int, figure: Figure, smaller: Figure | None) -> bool | None:
        """Whether it is; None where nothing is to be reached, or there is nothing to compare.

        smaller: the figure at 100,000 entries.
        """
        limit: float | None = None
        if entries == ENTRIES:
            limit = self.limit
        elif entries == LARGE and self.growth is None:
            limit = self.large
        elif entries == LARGE and self.growth is not None and smaller is not None:
            limit = self.growth * smaller.median
        if limit is None:
            return None
        return figure.median >= limit if self.faster else figure.median <= limit


def _memory(what: str, scenario: str) -> Target:
    return Target(f"resident memory at its peak, {what}", scenario, "rss", 48, "MB", large=48)


def _latency(what: str, limit: float) -> Target:
    kind = what.split()[0]
    text = f"one change at a time: the write's answer to the {kind}, {what.split()[1]}"
    return Target(text, "latency", what, limit, "ms", large=limit)


TARGETS = (
    Target("initial refresh, against ldapsearch", "refresh", "ratio", 5, growth=1.2),
    Target("… faster than slapd as a consumer", "refresh", "slapd", 4, faster=True),
    Target(
        "… faster than python-ldap's SyncreplConsumer", "refresh", "python-ldap", 4, faster=True
    ),
    Target(
        "SyncreplConsumer: faster than python-ldap's, CPU time", "consumer", "cpu", 3, faster=True
    ),
    Target("… faster than syncrepl-client 0.95.1", "refresh", "earlier", 15, faster=True),
    Target("the same again without a cookie, against ldapsearch", "reload", "ratio", 3, growth=1.2),
    Target(
        "resume, nothing changed, against a Python that imports ldap, binds, reads the root DSE",
        "resume", "ratio", 1.5, large=1.5,
    ),
    Target(
        "present phase after 1,000 deletes, against ldapsearch with the same cookie",
        "present", "ratio", 2, growth=1.2,
    ),
    Target("20,000 changes by 4 writers: last answer to last commit", "burst", "delay", 0.5, "s"),
    _latency("callback median", 2),
    _latency("callback p99", 10),
    _latency("commit median", 2),
    _latency("commit p99", 10),
    Target("rename of a container: answer to commit", "renames", "container", 3, "s"),
    Target("leaf renames, against as many changes: wall time", "renames", "leaf wall", 1.5),
    Target("leaf renames, against as many changes: CPU time", "renames", "leaf cpu", 1.5),
    Target("initial refresh with a log of changes, against without", "changelog", "refresh", 1.3),
    Target("changes with a log of them, against without: CPU time", "changelog", "cpu", 1.2),
    Target("a walk over refresh_done's items", "items", "seconds", 0.5, "s", large=5),
    Target(
        "a change of one of 50,000 members of a group: CPU time", "group", "milliseconds", 40, "ms",
    ),
    Target("… against python-ldap, which only reads it", "group", "ratio", 4),
    Target("dump, LDIF, against ldapsearch's", "dump", "ldif", 4),
    Target("dump, JSON, against ldapsearch's LDIF", "dump", "json", 4),
    Target("watch --once --format ldif, against ldapsearch", "watch", "ldif", 8),
    Target("watch --once --format json, against ldapsearch", "watch", "json", 8),
    Target("watch --once --brief, against ldapsearch", "watch", "brief", 8),
    _memory("initial refresh", "refresh"),
    _memory("present phase", "present"),
    _memory("without a cookie", "reload"),
    Target("import of Syncrepl, against import ldap", "import", "ratio", 1.3),
)  # fmt: skip
