# SPDX-License-Identifier: BSD-3-Clause
"""A store that follows another search from now on, and a first refresh that is not told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl, exceptions
from syncrepl_client.changes import ChangeKind
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.mirror import content, server_content
from tests.servers import DS389, Server, Slapd
from tests.servers.people import branch_entry, person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

STORES = pytest.mark.parametrize("store", ["sqlite", "shelve"])
PEOPLE = 6


@pytest.fixture(params=[Slapd, DS389], ids=["slapd", "389"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    name = "slapd" if request.param is Slapd else "ds389"
    server: Server = request.getfixturevalue(name)
    if isinstance(server, DS389):
        server.reset()
    with server.connected() as connection:
        for number in range(100, 100 + PEOPLE):
            attrs = {**person(number), "title": [b"Even" if number % 2 == 0 else b"Odd"]}
            connection.add_s(person_dn(number), list(attrs.items()))
        yield server
        for number in range(100, 100 + PEOPLE):
            connection.delete_s(person_dn(number))


def url(server: Server, filter: str = "(objectClass=person)", attrs: str = "*") -> str:
    return f"{server.url}/ou=people,{server.suffix}?{attrs}?sub?(&{filter}(employeeNumber=10*))"


def refresh(path: Path, recorder: Recorder, ldap_url: str, **options: Any) -> Syncrepl:
    recorder.clear()
    with Syncrepl(f"{path}/", recorder, REFRESH_ONLY, ldap_url, **options) as client:
        client.run()
        assert content(contents(client)) == content(recorder.mirror)
    return client


def found(server: Server, filter: str, attrs: list[str]) -> dict[str, dict[str, list[bytes]]]:
    with server.connected() as connection:
        base = f"ou=people,{server.suffix}"
        whole = f"(&{filter}(employeeNumber=10*))"
        return server_content(connection, base, ldap.SCOPE_SUBTREE, whole, attrs)


@STORES
def test_another_filter(server: Server, store: str, tmp_path: Path) -> None:
    recorder = Recorder()
    refresh(tmp_path, recorder, url(server), store=store)
    evens = url(server, "(title=Even)")
    with pytest.raises(exceptions.LDAPUrlConflict, match="change_search=True"):
        Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, evens, store=store)
    refresh(tmp_path, recorder, evens, store=store, change_search=True)
    odd = {person_dn(number) for number in range(100, 100 + PEOPLE) if number % 2}
    assert {change[1] for change in recorder.changes} == odd
    assert {change[0] for change in recorder.changes} == {"delete"}
    assert content(recorder.mirror) == found(server, "(title=Even)", ["*"])
    refresh(tmp_path, recorder, evens, store=store)  # it is the store's own now
    assert recorder.changes == []


def test_another_attribute_list(server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    refresh(tmp_path, recorder, url(server, attrs="cn,title"))
    refresh(tmp_path, recorder, url(server, attrs="cn,sn"), change_search=True)
    assert sorted(recorder.changes) == [
        ("change", person_dn(number)) for number in range(100, 100 + PEOPLE)
    ]
    assert content(recorder.mirror) == found(server, "(objectClass=person)", ["cn", "sn"])


def test_a_base_that_was_renamed(server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    with server.connected() as connection:
        before, after = f"ou=before,{server.suffix}", f"ou=after,{server.suffix}"
        connection.add_s(before, list(branch_entry("before").items()))
        connection.add_s(f"ou=below,{before}", list(branch_entry("below").items()))
        refresh(tmp_path, recorder, f"{server.url}/{before}??sub")
        connection.rename_s(before, "ou=after")
        try:
            if isinstance(server, Slapd):  # 389-ds says that nothing changed
                with pytest.raises(ldap.NO_SUCH_OBJECT):
                    refresh(tmp_path, recorder, f"{server.url}/{before}??sub")
            refresh(tmp_path, recorder, f"{server.url}/{after}??sub", change_search=True)
        finally:
            connection.delete_s(f"ou=below,{after}")
            connection.delete_s(after)
    assert recorder.changes[0] == ("rename", before, after)
    assert ("rename", f"ou=below,{before}", f"ou=below,{after}") in recorder.changes
    assert not recorder.of("delete")
    assert not recorder.of("add")


def test_deletes_are_guarded(server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    refresh(tmp_path, recorder, url(server))
    evens = url(server, "(title=Even)")
    with pytest.raises(exceptions.TooManyDeletes):
        refresh(tmp_path, recorder, evens, change_search=True, max_deletes=1)
    assert recorder.changes == []
    refresh(tmp_path, recorder, evens, max_deletes=None)  # the store is of that search now
    assert len(recorder.of("delete")) == PEOPLE // 2


class Killed(BaseException):
    """Ends a client where it stands."""


def test_a_client_that_dies_meanwhile_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    recorder = Recorder()
    refresh(tmp_path, recorder, url(server, "(title=Even)"))

    class Dies(Recorder):
        def record_delete(self, dn: str) -> None:
            raise Killed

    odds = url(server, "(title=Odd)")
    with pytest.raises(Killed):
        refresh(tmp_path, Dies(), odds, change_search=True, max_deletes=None)
    refresh(tmp_path, recorder, odds, max_deletes=None)
    assert content(recorder.mirror) == found(server, "(title=Odd)", ["*"])


def test_an_unknown_word_for_the_first_refresh(server: Server, tmp_path: Path) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="'tell' or 'silent'"):
        Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url(server), initial="quiet")
    assert not list(tmp_path.iterdir())


@STORES
def test_a_first_refresh_in_silence(server: Server, store: str, tmp_path: Path) -> None:
    recorder = Recorder()
    options: dict[str, Any] = {"store": store, "initial": "silent"}
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url(server), **options) as client:
        poll_until(client, recorder, "refresh_done")
        assert recorder.kinds == ["bind", "refresh_done", "commit"]
        assert content(contents(client)) == found(server, "(objectClass=person)", ["*"])
        recorder.mirror = contents(client)
        title(server, 100, b"Boss")
        poll_until(client, recorder, "change")
        assert recorder.changes == [("change", person_dn(100))]
        assert client.stats.changes[ChangeKind.MODIFY] == 1
    title(server, 101, b"Boss")
    recorder.clear()
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url(server), **options) as client:
        client.run()
    assert recorder.changes == [("change", person_dn(101))]


def title(server: Server, number: int, value: bytes) -> None:
    with server.connected() as connection:
        connection.modify_s(person_dn(number), [(ldap.MOD_REPLACE, "title", [value])])


def test_bind_dn_is_whom_to_bind_as(slapd: Slapd, tmp_path: Path) -> None:
    recorder = Recorder()
    where = url(slapd)
    options: dict[str, Any] = {"bind_dn": slapd.root_dn, "password": slapd.root_pw}
    with Syncrepl(tmp_path, recorder, REFRESH_ONLY, where, **options):
        [(_, connection)] = recorder.of("bind")
        assert connection.whoami_s() == f"dn:{slapd.root_dn}"
    assert (tmp_path / "syncrepl.sqlite3").exists()  # a directory stands for what is in it
    with pytest.raises(exceptions.ConfigurationError, match="exclude each other"):
        Syncrepl(tmp_path, recorder, REFRESH_ONLY, f"{where}?bindname=cn=a%2Cdc=b", **options)
