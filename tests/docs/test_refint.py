# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's groups, where slapd's overlay refint changes groups without reporting it."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from tests.docs.conftest import PEOPLE, READER, Directory
from tests.docs.snippets import recipe
from tests.docs.test_groups import (
    IN_STEP,
    MEMBERS,
    PROGRAMS,
    STAFF,
    Start,
    add_group,
    execute,
    finish,
    groups_in,
    groups_of,
    wait_until,
)
from tests.servers import Slapd
from tests.servers.people import people_ldif, person, person_dn, uid

DUE = "UPDATE syncrepl_origin SET reconciled = reconciled - 3600"


@pytest.fixture
def directory(run_server: Callable[..., Any]) -> Directory:
    """A directory whose server takes people who are deleted out of the groups."""
    server = run_server(
        Slapd,
        sessionlog=1000,
        tls=True,
        ldif=people_ldif(PEOPLE) + READER,
        extra_config="moduleload refint",
        extra_database="overlay refint\nrefint_attributes member",
    )
    return Directory(server)


def members_of(name: str) -> int:
    return len(execute(name, MEMBERS))


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_refint_did_is_known_after_an_hour(
    name: str, directory: Directory, start: Start
) -> None:
    add_group(directory, STAFF, map(person_dn, range(3)))
    running = start(recipe(name))
    running.wait_for(IN_STEP)
    wait_until(lambda: groups_in(name) == groups_of(directory))
    with directory.server.connected() as connection:
        connection.delete_s(person_dn(0))
        connection.rename_s(person_dn(1), "uid=renamed")
    wait_until(lambda: groups_of(directory) == {"staff": {"renamed", uid(2)}})
    wait_until(lambda: groups_in(name) == {"staff": {uid(2)}})
    with directory.server.connected() as connection:  # somebody else, with the same DN
        connection.add_s(person_dn(0), list(person(0).items()))
    wait_until(lambda: groups_in(name) == {"staff": {uid(0), uid(2)}})
    running.stop()

    finish(start, name)  # a resume does not know better
    assert groups_in(name) == {"staff": {uid(0), uid(2)}}
    execute(name, DUE)
    finish(start, name)
    assert groups_in(name) == groups_of(directory) == {"staff": {"renamed", uid(2)}}
    assert members_of(name) == 2
