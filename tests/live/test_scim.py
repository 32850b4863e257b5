# SPDX-License-Identifier: BSD-3-Clause
"""A directory's people and groups in a SCIM service, from a snapshot on, by the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ldap
import pytest

from tests.cli.commands import run
from tests.faults.sinks.checks import check_forward, compare_resources
from tests.servers import Slapd
from tests.servers.missing import needs, needs_httpx
from tests.servers.people import person, person_dn

if TYPE_CHECKING:
    from tests.servers.scim import SCIMService

pytestmark = [needs_httpx, needs("scim2_models")]


@pytest.fixture
def service() -> Iterator[SCIMService]:
    from tests.servers.scim import SCIMService

    with SCIMService() as service:
        yield service


def test_a_snapshot(run_server: Callable[..., Any], service: SCIMService, tmp_path: Path) -> None:
    """It creates what is missing, mends what differs, and leaves what nobody in LDAP has."""
    from tests.servers.scim import TOKEN

    server: Slapd = run_server(Slapd, sessionlog=1000)
    state = ["--data", f"{tmp_path}/state-"]
    watch = ["watch", "--once", "--brief", "--log", "1d", *state,
             "-H", server.url, "-b", server.suffix]  # fmt: skip
    relay = ["relay", "--name", "id", "--snapshot", "--once", *state,
             "--sink", f"scim+{service.url}?remove=delete"]  # fmt: skip
    with server.connected() as connection:
        for number in range(30):
            titled = {**person(number), "title": [b"%d" % number]}
            connection.add_s(person_dn(number, server.suffix), list(titled.items()))
        group = f"cn=staff,ou=groups,{server.suffix}"
        members = [person_dn(number, server.suffix).encode() for number in (3, 4, 99)]
        connection.add_s(group, [("objectClass", b"groupOfNames"), ("cn", b"staff"),
                                 ("member", members)])  # fmt: skip

        def entries() -> Any:
            return dict(connection.search_s(server.suffix, ldap.SCOPE_SUBTREE, None, ["*", "+"]))

        def check() -> None:
            users, groups = (service.by_external_id(kind) for kind in ("Users", "Groups"))
            compare_resources(entries(), users, groups)
            check_forward(service.requests)

        uuids = {dn: attrs["entryUUID"][0].decode() for dn, attrs in entries().items()}
        known = {
            "n90": uuids[person_dn(0, server.suffix)],
            "n91": uuids[person_dn(1, server.suffix)],
        }
        service.resources["Users"].update({
            number: {"id": number, "externalId": uuid, "userName": number, "title": "999"}
            for number, uuid in known.items()
        })  # fmt: skip
        assert run(*watch).code == 0
        done = run(*relay, env={"SYNCREPL_SINK_SECRET": TOKEN})
        assert (done.code, done.out, done.err) == (0, "", "")
        check()
        assert {"n90", "n91"} <= set(service.resources["Users"])
        assert [request.method for request in service.requests].count("POST") == 29

        connection.delete_s(person_dn(0, server.suffix))
        connection.modify_s(person_dn(1, server.suffix), [(ldap.MOD_REPLACE, "title", b"1001")])
        connection.modify_s(group, [(ldap.MOD_REPLACE, "member", members[1:])])
        assert run(*watch).code == 0
        del service.resources["Users"]["n91"]  # by somebody, there
        assert run(*relay, env={"SYNCREPL_SINK_SECRET": TOKEN}).code == 0
        check()
        assert "n90" not in service.resources["Users"]
