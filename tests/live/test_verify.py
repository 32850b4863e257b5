# SPDX-License-Identifier: BSD-3-Clause
"""verify() against real servers, with more entries than fit on a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Difference, DifferenceKind, Syncrepl, exceptions
from syncrepl_client.entries import dn
from syncrepl_client.entries.attributes import Attributes, decode, encode
from tests.conftest import missing_servers_skip
from tests.contract.places import record
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import DS389, Server, Slapd
from tests.servers.people import (
    SUFFIX,
    branch_entry,
    people_entries,
    people_ldif,
    person,
    person_dn,
)

pytestmark = pytest.mark.usefixtures("watchdog")

COUNT = 2500
DEEP, DEEPER = f"ou=deep,{SUFFIX}", f"ou=deeper,{SUFFIX}"
LISTS = ["*", "*,+", "cn,description,entryDN,hasSubordinates,modifyTimestamp"]
lists = pytest.mark.parametrize("attrs", LISTS)
MEMBEROF = {"extra_config": "moduleload memberof", "extra_database": "overlay memberof"}


@pytest.fixture(scope="module")
def large_slapd() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(sessionlog=1000, ldif=people_ldif(COUNT)) as server:
        yield server


@pytest.fixture(scope="module")
def large_ds389() -> Iterator[DS389]:
    with missing_servers_skip(), DS389() as server:
        with server.connected() as connection:
            people = people_entries(COUNT)
            sent = [connection.add(name, list(attrs.items())) for name, attrs in people]
            for message in sent:
                connection.result(message)
        yield server


@pytest.fixture(scope="module", params=["large_slapd", "large_ds389"], ids=["slapd", "389-ds"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def admin(server: Server) -> Iterator[LDAPObject]:
    """A connection; what a test has added, or one that failed has left, is gone after it."""
    with server.connected() as connection:
        yield connection
    with server.connected() as connection:
        for base in (DEEP, DEEPER):
            delete_below(connection, base)


def add(admin: LDAPObject, name: str, attrs: Attributes) -> None:
    admin.add_s(name, list(attrs.items()))


def add_unit(admin: LDAPObject, name: str) -> None:
    add(admin, name, branch_entry(name.partition(",")[0].partition("=")[2]))


def describe(admin: LDAPObject, name: str, text: str) -> None:
    admin.modify_s(name, [(ldap.MOD_REPLACE, "description", [text.encode()])])


def delete_below(admin: LDAPObject, base: str) -> None:
    try:
        found = admin.search_s(base, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
    except ldap.NO_SUCH_OBJECT:
        return
    names = [name for name, _ in found]
    for name in sorted(names, key=len, reverse=True):
        admin.delete_s(name)


def url(server: Server, attrs: str = "*", base: str = SUFFIX) -> str:
    return f"{server.url}/{base}?{attrs}?sub"


def refreshed(client: Syncrepl) -> Syncrepl:
    while not client.refreshed:
        assert client.poll(10) or client.refreshed
    return client


def poll_until_changed(client: Syncrepl, recorder: Recorder, name: str) -> None:
    while ("change", name) not in recorder.changes:
        assert client.poll(10)


def persisting(server: Server, path: Path, recorder: Recorder, **options: Any) -> Syncrepl:
    return refreshed(Syncrepl(f"{path}/", recorder, PERSIST, url(server), **options))


def plant(client: Syncrepl) -> list[Difference]:
    """Let the store differ, in each way that there is, by its own means."""
    store = client.store

    def at(number: int) -> Any:
        return store.at(dn.key(person_dn(number)))

    changed, respelled = at(1), at(1200)
    store.begin()
    for number in (0, 1000, 2499):
        store.remove(at(number).uuid)
    attrs = {**decode(changed.attrs), "description": [b"stale"], "street": [b"nowhere"]}
    attrs["title"] = [*attrs["title"], b"another"]
    del attrs["mail"]
    store.put(changed._replace(attrs=encode(attrs)))
    store.put(respelled._replace(dn=person_dn(1200).upper()))
    store.put(record(1, f"ou=gone,{SUFFIX}", ou="gone"))
    store.put(record(2, f"ou=below,ou=gone,{SUFFIX}"))
    store.commit()
    missing = [Difference(DifferenceKind.MISSING, person_dn(number)) for number in (0, 1000, 2499)]
    names = ("description", "mail", "street", "title")
    one, other = person_dn(1), person_dn(1200)
    return [
        missing[0],
        Difference(DifferenceKind.DIFFERENT, one, one, names),
        missing[1],
        Difference(DifferenceKind.RESPELLED, other, other.upper()),
        missing[2],
        *(Difference(DifferenceKind.SURPLUS, name, name)
          for name in (f"ou=gone,{SUFFIX}", f"ou=below,ou=gone,{SUFFIX}")),
    ]  # fmt: skip


def snapshot(client: Syncrepl, path: Path) -> tuple[Any, ...]:
    """All that verify() must leave as it is: every row, the cookie, and every byte on disk."""
    files = {file.name: file.read_bytes() for file in path.iterdir() if "shm" not in file.name}
    client.store.seen.clear()
    rows = list(client.store.seen.to_delete(unseen=True))
    return rows, client.store.origin, client.store.in_transaction, files


# --- a store that is right


@lists
def test_nothing_differs(server: Server, admin: LDAPObject, attrs: str, tmp_path: Path) -> None:
    """After a first refresh, after changes of the persist stage, and after a resume."""
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url(server, attrs)) as client:
        assert refreshed(client).verify() == []

        recorder.clear()
        add_unit(admin, DEEP)
        add_unit(admin, f"ou=first,{DEEP}")
        add(admin, f"uid=u0000001,ou=first,{DEEP}", person(1))
        describe(admin, person_dn(5), f"for {attrs}")
        admin.rename_s(DEEP, "ou=deeper")
        describe(admin, person_dn(6), f"for {attrs}")
        poll_until_changed(client, recorder, person_dn(6))
        assert client.verify(page_size=700) == []

    describe(admin, person_dn(5), f"again for {attrs}")
    add_unit(admin, f"ou=second,{DEEPER}")
    admin.delete_s(f"uid=u0000001,ou=first,{DEEPER}")
    recorder.clear()
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url(server, attrs)) as client:
        client.run()
        assert ("change", person_dn(5)) in recorder.changes
        assert len(recorder.changes) < 10  # it was a resume
        assert client.verify() == []


def test_what_changed_since_the_last_poll(
    server: Server, admin: LDAPObject, tmp_path: Path
) -> None:
    recorder = Recorder()
    with persisting(server, tmp_path, recorder) as client:
        recorder.clear()
        describe(admin, person_dn(7), "unheard of")
        [difference] = client.verify()
        assert difference == Difference(
            DifferenceKind.DIFFERENT, person_dn(7), person_dn(7), ("description",)
        )
        poll_until(client, recorder, "change")
        assert client.verify() == []


@pytest.mark.parametrize("store", ["sqlite", "shelve", "memory"])
def test_planted_differences(server: Server, admin: LDAPObject, store: str, tmp_path: Path) -> None:
    recorder = Recorder()
    with persisting(server, tmp_path, recorder, store=store) as client:
        planted = plant(client)
        before = snapshot(client, tmp_path)
        recorder.clear()
        assert sorted(client.verify(), key=by_value) == sorted(planted, key=by_value)
        assert snapshot(client, tmp_path) == before
        assert recorder.heard == []

        describe(admin, person_dn(2000), f"the search goes on with {store}")
        poll_until(client, recorder, "change")
        assert recorder.changes == [("change", person_dn(2000))]


def by_value(difference: Difference) -> Any:
    return difference.kind.value, difference.dn


# --- slapd: what needs to be seen on one server only


def test_the_order(large_slapd: Slapd, tmp_path: Path) -> None:
    """OpenLDAP finds the entries in the order in which they were added."""
    with persisting(large_slapd, tmp_path, Recorder()) as client:
        planted = plant(client)
        for page_size in (50, 333, 1000, COUNT + 3, COUNT + 4, 2**31 - 1):
            assert client.verify(page_size) == planted
        for limit in range(1, len(planted) + 2):
            assert client.verify(limit=limit) == planted[:limit]


def test_the_second_connection_is_like_the_first(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    """An anonymous one would find neither the certificate good nor the passwords."""
    server = run_server(Slapd, tls=True)
    with server.connected() as connection:
        add(connection, person_dn(1), {**person(1), "userPassword": [b"visible to some"]})
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    where = f"{server.url}/{SUFFIX}?*?sub??bindname={server.root_dn.replace(',', '%2C')}"
    with Syncrepl(
        f"{tmp_path}/", Recorder(), REFRESH_ONLY, where, True,
        options=options, password=server.root_pw,
    ) as client:  # fmt: skip
        client.run()
        stored = client.store.at(dn.key(person_dn(1)))
        assert stored is not None
        assert "userPassword" in decode(stored.attrs)
        assert client.verify() == []
        assert "bind" in client.callback.kinds
        assert client.callback.kinds.count("bind") == 1


def test_references_and_subentries(run_server: Callable[..., Any], tmp_path: Path) -> None:
    """A subentry comes in the persist stage; a search finds it at its own DN only (RFC 3672)."""
    server = run_server(Slapd, sessionlog=10)
    recorder = Recorder()
    with persisting(server, tmp_path, recorder) as client, server.connected() as connection:
        reference = {"objectClass": [b"referral", b"extensibleObject"], "ou": [b"elsewhere"]}
        add(connection, f"ou=elsewhere,{SUFFIX}", {**reference, "ref": [b"ldap://h/dc=x"]})
        subentry = {"objectClass": [b"subentry", b"extensibleObject"], "cn": [b"sub"]}
        add(connection, f"cn=sub,{SUFFIX}", {**subentry, "subtreeSpecification": [b"{}"]})
        recorder.clear()
        poll_until(client, recorder, "add")
        assert client.verify() == []


def test_memberof_is_written_behind_the_back_of_syncprov(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    server = run_server(Slapd, sessionlog=10, **MEMBEROF)
    recorder = Recorder()
    with server.connected() as connection:
        add(connection, person_dn(1), person(1))
        with refreshed(
            Syncrepl(f"{tmp_path}/", recorder, PERSIST, url(server, "*,memberOf"))
        ) as client:
            group = {"objectClass": [b"groupOfNames"], "cn": [b"g"]}
            recorder.clear()
            members = {**group, "member": [person_dn(1).encode()]}
            add(connection, f"cn=g,ou=groups,{SUFFIX}", members)
            poll_until(client, recorder, "add")
            [difference] = client.verify()
    assert (difference.dn, difference.attributes) == (person_dn(1), ("memberOf",))


def test_a_limit_of_the_server(run_server: Callable[..., Any], tmp_path: Path) -> None:
    server = run_server(Slapd, sessionlog=10, paged_total=2)
    recorder = Recorder()
    with persisting(server, tmp_path, recorder) as client:
        for page_size in (1, 1000):
            with pytest.raises(ldap.SIZELIMIT_EXCEEDED, match=r"size\.prtotal=unlimited"):
                client.verify(page_size)
        recorder.clear()
        with server.connected() as connection:
            add(connection, person_dn(1), person(1))
        poll_until(client, recorder, "add")


# --- when it may be called


def test_not_before_the_refresh_is_done(large_slapd: Slapd, tmp_path: Path) -> None:
    client = Syncrepl(f"{tmp_path}/", Recorder(), PERSIST, url(large_slapd))
    with client, pytest.raises(exceptions.UsageError, match="poll until"):
        client.verify()
    with pytest.raises(exceptions.ClosedError, match=r"verify\(\)"):
        client.verify()


def test_not_inside_a_poll(large_slapd: Slapd, tmp_path: Path) -> None:
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, REFRESH_ONLY, url(large_slapd)) as client:
        recorder.on["refresh_done"] = lambda: client.verify()
        with pytest.raises(exceptions.UsageError, match=r"verify\(\) while"):
            client.run()
        recorder.on.clear()
        recorder.mirror.clear()
        recorder.clear()
        client.run()
        assert client.verify() == []


def test_numbers_that_are_none(large_slapd: Slapd, tmp_path: Path) -> None:
    with persisting(large_slapd, tmp_path, Recorder()) as client:
        with pytest.raises(exceptions.ConfigurationError, match="page_size"):
            client.verify(0)
        with pytest.raises(exceptions.ConfigurationError, match="limit"):
            client.verify(limit=0)
        assert client.verify() == []
