# SPDX-License-Identifier: BSD-3-Clause
"""slapds that replicate from one another, and how to have one of them lag."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import ldap

from tests.servers import Server, Slapd
from tests.servers.people import base_ldif

PATIENCE_SECONDS = 30.0
CHECKPOINT = "syncprov-checkpoint 1 1\n"
"""Without it a slapd that crashes comes back with an old contextCSN, and hands nothing on."""


class Replica(Slapd):
    """A slapd with syncprov that may take over what others have."""

    def replicate(self, other: Any, *, mirror: bool) -> None:
        """Take over what the *other* has; before the start.

        Args:
            other: the provider.
            mirror: whether this one takes writes too.
        """
        lines = [
            f"syncrepl rid=001 provider={other.url} type=refreshAndPersist",
            f'  bindmethod=simple binddn="{other.root_dn}" credentials={other.root_pw}',
            f'  searchbase="{self.suffix}" retry="1 +"',
            "multiprovider on" if mirror else f"updateref {other.url}",
        ]
        self._extra_database = "\n".join([*lines, self._extra_database])


Pair = tuple[Slapd, Slapd]


@contextmanager
def one_id(*, sessionlog: int | None = None, access: str = "") -> Iterator[Pair]:
    """A provider, and a replica that has its server ID."""
    options: Any = {"sessionlog": sessionlog, "server_id": 1, "extra_database": CHECKPOINT + access}
    provider = Slapd(**options)
    replica = Replica(ldif="", **options)
    replica.replicate(provider, mirror=False)
    yield from _together(provider, replica)


@contextmanager
def two_ids(*, sessionlog: int | None = None, access: str = "") -> Iterator[Pair]:
    """A provider, and a replica with an ID of its own."""
    options: Any = {"sessionlog": sessionlog, "extra_database": CHECKPOINT + access}
    provider = Slapd(server_id=1, **options)
    replica = Replica(server_id=2, ldif="", **options)
    replica.replicate(provider, mirror=False)
    yield from _together(provider, replica)


@contextmanager
def mirrors(*, sessionlog: int | None = None, access: str = "") -> Iterator[Pair]:
    """Two that take writes."""
    options: Any = {"sessionlog": sessionlog, "extra_database": CHECKPOINT + access}
    one = Replica(server_id=1, ldif=base_ldif(), **options)
    two = Replica(server_id=2, ldif="", **options)
    one.replicate(two, mirror=True)
    two.replicate(one, mirror=True)
    yield from _together(one, two)


def _together(one: Slapd, two: Slapd) -> Iterator[Pair]:
    with one, two:
        wait_until_same(one, two)
        yield one, two


def contents_of(server: Server) -> dict[str, dict[str, list[bytes]]]:
    """All user attributes, and which changes the server knows of."""
    with server.connected() as connection:
        found = connection.search_s(server.suffix, ldap.SCOPE_SUBTREE, attrlist=["*", "contextCSN"])
        return {dn: {name: sorted(values) for name, values in attrs.items()} for dn, attrs in found}


def wait_until(said: str, true: Callable[[], bool]) -> None:
    """Wait until that is *true*; *said* is what to say if it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if true():
                return
        except ldap.LDAPError:  # nothing is there yet
            pass
        if time.monotonic() > deadline:
            raise AssertionError(said)
        time.sleep(0.02)


def wait_until_same(one: Server, two: Server) -> None:
    """Wait until both have all that either was told."""
    wait_until("the servers do not come together", lambda: contents_of(one) == contents_of(two))
