# SPDX-License-Identifier: BSD-3-Clause
"""Reconciling and the deletion guard, against real servers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl, exceptions
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import DS389, Server, Slapd
from tests.servers.people import base_ldif, people_ldif, person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

DAY = 86400.0
RunServer = Callable[..., Any]
KINDS = pytest.mark.parametrize("kind", ["slapd", "slapd_nolog", "ds389"])


def empty(server: Server) -> None:
    """Leave nobody over from another test."""
    if isinstance(server, DS389):
        server.reset()
        return
    with server.connected() as admin:
        for name, _ in admin.search_s(server.suffix, ldap.SCOPE_SUBTREE, "(uid=*)", ["1.1"]):
            admin.delete_s(name)


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(kind)
    empty(found)
    return found


def add(server: Server, *numbers: int) -> None:
    with server.connected() as admin:
        for number in numbers:
            admin.add_s(person_dn(number), list(person(number).items()))


def follow(
    server: Server, data_path: Path, recorder: Recorder, mode: Any = PERSIST, **options: Any
) -> Syncrepl:
    url = f"{server.url}/ou=people,{server.suffix}??one"  # 389-ds resumes without a filter only
    return Syncrepl(f"{data_path}/", recorder, mode, url, **options)


def sent_cookie(recorder: Recorder) -> bool:
    """Whether the last search was sent with a cookie."""
    said = [each for each in recorder.messages if each.startswith("searching with")]
    return "no cookie" not in said[-1]


@KINDS
def test_planted_damage_and_changes_around_it(server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    add(server, 1, 2, 3)
    with follow(server, tmp_path, recorder) as client:
        poll_until(client, recorder, "refresh_done")
        store = client.store
        lost = next(each for each in store.live() if each.dn == person_dn(1))
        store.begin()
        store.remove(lost.uuid)
        store.put(lost._replace(uuid=b"x" * 16, dn=person_dn(9), key=lost.key + b"x"))
        store.commit()
        recorder.mirror = contents(client)
        recorder.clear()
        add(server, 4)
        client.reconcile()
        assert client.poll(10)
        add(server, 5)
        poll_until(client, recorder, "refresh_done")
        add(server, 6)
        while person_dn(6) not in recorder.mirror:
            assert client.poll(10)
        assert not sent_cookie(recorder)
        assert contents(client) == recorder.mirror
        assert client.verify() == []
    assert sorted(recorder.of("add")) == [("add", person_dn(number)) for number in (1, 4, 5, 6)]
    assert recorder.of("delete", "change", "rename") == [("delete", person_dn(9))]


@KINDS
def test_a_store_that_was_reconciled_long_ago(kind: str, server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    add(server, 1)

    def run(age: float | None) -> bool:
        with follow(server, tmp_path, recorder, REFRESH_ONLY) as client:
            client.run()
            if age is not None:
                store = client.store
                store.begin()
                store.commit(store.origin._replace(reconciled=time.time() - age))
        return sent_cookie(recorder)

    assert not run(3600)
    assert run(2 * DAY)
    assert run(8 * DAY) is (kind != "ds389")  # where two days are too long
    assert not run(None)
    assert run(None)
    assert len(recorder.changes) == 1


@pytest.mark.parametrize("mode", [PERSIST, REFRESH_ONLY])
def test_a_slapd_that_was_replaced_by_an_empty_one(
    mode: Any, run_server: RunServer, tmp_path: Path
) -> None:
    recorder = Recorder()
    full = run_server(Slapd, ldif=people_ldif(120))
    with follow(full, tmp_path, recorder, mode) as client:
        poll_until(client, recorder, "refresh_done") if mode is PERSIST else client.run()
        before = client.store.origin.cookie
    bare = run_server(Slapd, ldif=base_ldif())
    recorder.clear()
    with follow(bare, tmp_path, recorder, mode) as client:
        for _ in range(2):
            with pytest.raises(exceptions.TooManyDeletes):
                client.run()
        assert len(contents(client)) == 120
        assert client.store.origin.cookie in (before, None)
        assert recorder.of("delete", "refresh_done") == []
    with follow(bare, tmp_path, recorder, mode, max_deletes=None) as client:
        poll_until(client, recorder, "refresh_done") if mode is PERSIST else client.run()
        assert contents(client) == recorder.mirror == {}
