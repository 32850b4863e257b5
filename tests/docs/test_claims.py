# SPDX-License-Identifier: BSD-3-Clause
"""What the documentation says of servers and stores, seen on slapd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.exceptions import (
    ClosedError,
    LDAPUrlConflict,
    StoreError,
    StoreLocked,
    StorePathError,
    UsageError,
)
from tests.servers import Slapd
from tests.servers.people import SUFFIX, people_ldif, person_dn

RunServer = Callable[..., Any]
Entries = dict[str, dict[str, list[bytes]]]


class Recorder(BaseCallback):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def dispatch(self, change: Change) -> None:
        self.changes.append(change)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each.kind.value, each.new_dn or each.old_dn or "") for each in self.changes]


def refresh(server: Slapd, path: Path, search: str, **options: Any) -> tuple[Recorder, Entries]:
    """Refresh once; return what was told, and what is in the store."""
    recorder = Recorder()
    url = f"{server.url}/{search}"
    prefix = f"{path}/"
    with Syncrepl(prefix, recorder, SyncreplMode.REFRESH_ONLY, url, **options) as client:
        client.run()
        return recorder, dict(client.store.items().items())


def afresh(server: Slapd, search: str, **options: Any) -> Entries:
    """The answer to the same search now."""
    return refresh(server, Path(), search, store="memory", **options)[1]


def test_no_scope_is_base(run_server: RunServer) -> None:
    """docs/quickstart.rst: the default of RFC 4516."""
    server = run_server(Slapd)
    assert list(afresh(server, SUFFIX)) == [SUFFIX]
    assert len(afresh(server, f"{SUFFIX}??one")) == 2
    assert len(afresh(server, f"{SUFFIX}??sub")) == 3


# --- docs/servers.rst, "Changes that no server reports"


def untold(
    server: Slapd, path: Path, search: str, change: Callable[[LDAPObject], Any]
) -> tuple[Entries, Entries]:
    """What a client that resumes after *change* has, and what is there."""
    refresh(server, path, search)
    with server.connected() as connection:
        change(connection)
    return refresh(server, path, search)[1], afresh(server, search)


def test_rights(run_server: RunServer, tmp_path: Path) -> None:
    hidden = "access to filter=(title=Hidden) by anonymous none by * read"
    server = run_server(Slapd, sessionlog=9, ldif=people_ldif(2), extra_database=hidden)
    title = [(ldap.MOD_REPLACE, "title", b"Hidden")]
    search = f"{SUFFIX}?*?sub"
    before, _ = untold(
        server, tmp_path, search, lambda connection: connection.modify_s(person_dn(0), title)
    )
    assert person_dn(0) not in before  # the entry itself changed: told as a delete
    assert person_dn(1) in before

    bound = f"{search}?(objectClass=*)?bindname={server.root_dn.replace(',', '%2C')}"
    recorder, after = refresh(server, tmp_path, bound, password=server.root_pw)
    # Somebody else may see something else: the cookie is not used.
    assert recorder.told == [("add", person_dn(0))]
    assert after == afresh(server, bound, password=server.root_pw)


def test_derived_attributes(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(
        Slapd,
        sessionlog=9,
        ldif=people_ldif(1),
        extra_config="moduleload memberof",
        extra_database="overlay memberof",
    )
    group = {"objectClass": b"groupOfNames", "cn": b"g", "member": person_dn(0).encode()}
    group_dn = f"cn=g,ou=groups,{SUFFIX}"
    stored, there = untold(
        server,
        tmp_path,
        f"{SUFFIX}?memberOf,hasSubordinates?sub",
        lambda connection: connection.add_s(group_dn, list(group.items())),
    )
    assert stored[person_dn(0)].get("memberOf") is None
    assert there[person_dn(0)]["memberOf"] == [group_dn.encode()]
    assert stored[f"ou=groups,{SUFFIX}"]["hasSubordinates"] == [b"FALSE"]
    assert there[f"ou=groups,{SUFFIX}"]["hasSubordinates"] == [b"TRUE"]


def test_hidden_parents(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, sessionlog=9, ldif=people_ldif(1))
    stored, there = untold(
        server,
        tmp_path,
        f"{SUFFIX}?cn?sub?(objectClass=person)",
        lambda connection: connection.rename_s(f"ou=people,{SUFFIX}", "ou=folk"),
    )
    assert list(stored) == [person_dn(0)]
    assert list(there) == [f"uid=u0000000,ou=folk,{SUFFIX}"]


def test_a_filter_that_shows_the_parents(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, sessionlog=9, ldif=people_ldif(1))
    stored, there = untold(
        server,
        tmp_path,
        f"{SUFFIX}?cn?sub?(|(objectClass=person)(objectClass=organizationalUnit))",
        lambda connection: connection.rename_s(f"ou=people,{SUFFIX}", "ou=folk"),
    )
    assert stored == there
    assert f"uid=u0000000,ou=folk,{SUFFIX}" in there


def test_containers_moved_into_the_scope(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, sessionlog=9, ldif=people_ldif(1))
    base = f"ou=groups,{SUFFIX}"
    stored, there = untold(
        server,
        tmp_path,
        f"{base}?cn?sub",
        lambda connection: connection.rename_s(f"ou=people,{SUFFIX}", "ou=people", base),
    )
    assert set(stored) == {base, f"ou=people,{base}"}
    assert set(there) == {*stored, f"uid=u0000000,ou=people,{base}"}

    stored, there = untold(
        server,
        tmp_path,
        f"{base}?cn?sub",
        lambda connection: connection.rename_s(f"ou=people,{base}", "ou=people", SUFFIX),
    )
    assert stored == there


# --- docs/servers.rst, "Backups, renames, limits, several servers", and docs/client.rst


def test_a_size_limit_deletes_nothing(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, ldif=people_ldif(30), sizelimit=10)
    url = f"{server.url}/{SUFFIX}??sub"
    with Syncrepl(f"{tmp_path}/", BaseCallback, SyncreplMode.REFRESH_ONLY, url) as client:
        with pytest.raises(ldap.SIZELIMIT_EXCEEDED):
            client.run()
        assert client.poll() is False


@pytest.mark.parametrize("when", ["next write", "next start"])
def test_a_renamed_base(when: str, run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, sessionlog=9, ldif=people_ldif(1))
    recorder = Recorder()
    url = f"{server.url}/ou=people,{SUFFIX}??sub"
    mode = SyncreplMode.REFRESH_AND_PERSIST
    with Syncrepl(f"{tmp_path}/", recorder, mode, url) as client:
        while not client.refreshed:
            client.poll()
        with server.connected() as connection:
            connection.rename_s(f"ou=people,{SUFFIX}", "ou=folk")
            if when == "next write":
                gone = f"uid=u0000000,ou=folk,{SUFFIX}"
                connection.modify_s(gone, [(ldap.MOD_REPLACE, "title", b"x")])
                with pytest.raises(ldap.NO_SUCH_OBJECT):
                    client.run()
    if when == "next start":
        client = Syncrepl(f"{tmp_path}/", recorder, mode, url)
        with client, pytest.raises(ldap.NO_SUCH_OBJECT):
            client.run()
    assert [kind for kind, _ in recorder.told] == ["add", "add"]


def test_going_on_with_the_stored_search(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd, ldif=people_ldif(2))
    refresh(server, tmp_path, f"{SUFFIX}?cn?sub?(objectClass=person)")
    recorder = Recorder()
    prefix = f"{tmp_path}/"
    with Syncrepl(prefix, recorder, SyncreplMode.REFRESH_ONLY) as client:
        client.run()
        assert len(client.store.items()) == 2
        assert client.poll() is False
    assert recorder.changes == []
    with pytest.raises(ClosedError):
        client.poll()
    with pytest.raises(LDAPUrlConflict):
        refresh(server, tmp_path, f"{SUFFIX}?cn?sub?(objectClass=*)")


def test_polling_in_a_callback(run_server: RunServer) -> None:
    server = run_server(Slapd, ldif=people_ldif(1))

    class Greedy(BaseCallback):
        def refresh_done(self, items: Any) -> None:
            client.please_stop()
            with pytest.raises(UsageError):
                client.poll()
            with pytest.raises(UsageError):
                client.unbind()

    url = f"{server.url}/{SUFFIX}??sub"
    mode = SyncreplMode.REFRESH_AND_PERSIST
    with Syncrepl("", Greedy, mode, url, store="memory") as client:
        client.run()


def test_keepalive_can_be_set(run_server: RunServer) -> None:
    names = ("OPT_X_KEEPALIVE_IDLE", "OPT_X_KEEPALIVE_PROBES", "OPT_X_KEEPALIVE_INTERVAL")
    options = {getattr(ldap, name): 30 for name in names}
    assert afresh(run_server(Slapd), f"{SUFFIX}??sub", options=options)


# --- docs/protocol.rst, "DN collisions"


def test_swapped_names(run_server: RunServer, tmp_path: Path) -> None:
    ldif = people_ldif(2).replace("u0000000", "red").replace("u0000001", "blue")
    server = run_server(Slapd, sessionlog=9, ldif=ldif)
    search = f"{SUFFIX}?sn?sub?(objectClass=person)"
    refresh(server, tmp_path, search)
    people = f"ou=people,{SUFFIX}"
    with server.connected() as connection:
        connection.rename_s(f"uid=red,{people}", "uid=other")
        connection.rename_s(f"uid=blue,{people}", "uid=red")
        connection.rename_s(f"uid=other,{people}", "uid=blue")
    recorder, stored = refresh(server, tmp_path, search)
    assert stored == afresh(server, search)
    kinds = [kind for kind, _ in recorder.told]
    assert kinds == ["delete", "rename", "add"]
    assert len({name for _, name in recorder.told}) == 2


# --- docs/stores.rst and docs/delivery.rst


def test_files_of_the_sqlite_store(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd)
    url = f"{server.url}/{SUFFIX}??sub"
    old = os.umask(0)
    try:
        with Syncrepl(f"{tmp_path}/", BaseCallback, SyncreplMode.REFRESH_ONLY, url) as client:
            client.run()
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
            with pytest.raises(StoreLocked):
                Syncrepl(f"{tmp_path}/", BaseCallback, SyncreplMode.REFRESH_ONLY, url)
    finally:
        os.umask(old)
    names = [f"syncrepl.sqlite3{suffix}" for suffix in ("", "-shm", "-wal")]
    assert modes == dict.fromkeys(names, 0o600)
    assert [path.name for path in tmp_path.iterdir()] == names[:1]


def test_a_wrong_password_leaves_no_file(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd)
    search = f"{SUFFIX}??sub??bindname={server.root_dn.replace(',', '%2C')}"
    with pytest.raises(ldap.INVALID_CREDENTIALS):
        refresh(server, tmp_path, search, password="wrong")
    with pytest.raises(StorePathError):
        refresh(server, tmp_path / "missing", search, password="wrong")
    assert list(tmp_path.iterdir()) == []


def test_a_commit_of_ones_own_is_noticed(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd)

    class Meddler(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            client.store.connection.commit()

    url = f"{server.url}/{SUFFIX}??sub"
    client = Syncrepl(f"{tmp_path}/", Meddler, SyncreplMode.REFRESH_ONLY, url)
    with client, pytest.raises(StoreError, match="don't commit or roll back"):
        client.run()


def test_rows_of_ones_own_are_rolled_back(run_server: RunServer, tmp_path: Path) -> None:
    server = run_server(Slapd)

    class Failing(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            database.execute("INSERT INTO mine VALUES (?)", (dn,))

        def before_commit(self) -> None:
            raise OSError("the other side is away")

    url = f"{server.url}/{SUFFIX}??sub"
    with Syncrepl(f"{tmp_path}/", Failing, SyncreplMode.REFRESH_ONLY, url) as client:
        database = client.store.connection
        database.execute("CREATE TABLE mine (dn TEXT)")
        with pytest.raises(OSError, match="away"):
            client.run()
        assert database.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        assert len(client.store.items()) == 0
