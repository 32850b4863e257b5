# SPDX-License-Identifier: BSD-3-Clause
"""What the design promises of the public face, against slapd."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Callable

import ldap
import ldapurl
import pytest
from ldap.controls import RequestControl
from ldap.ldapobject import LDAPObject

from syncrepl_client import Syncrepl, SyncreplMode, exceptions
from syncrepl_client.callbacks import BaseCallback, LoggingCallback
from syncrepl_client.changes import Change, ChangeKind, Phase
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.store import MemoryStore, SQLiteStore
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.mirror import content, server_content
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import branch_entry

pytestmark = pytest.mark.usefixtures("watchdog")

MODES = pytest.mark.parametrize("mode", [REFRESH_ONLY, PERSIST])
MANAGE_DSA_IT = RequestControl("2.16.840.1.113730.3.4.2", True)
numbers = count()


class Tree:
    """A part of the directory that one test has for itself."""

    def __init__(self, server: Slapd, connection: LDAPObject) -> None:
        self.server = server
        self.base = self.outside = server.suffix
        self._connection = connection
        self.base = self.unit(f"t{next(numbers)}")

    def unit(self, name: str, parent: str | None = None) -> str:
        dn = f"ou={name},{parent or self.base}"
        self._connection.add_s(dn, list(branch_entry(name).items()))
        return dn

    def person(self, name: str, parent: str | None = None, **attrs: str) -> str:
        dn = f"uid={name},{parent or self.base}"
        values = {"uid": name, "cn": name, "sn": name, "objectClass": "inetOrgPerson", **attrs}
        self._connection.add_s(dn, [(key, [value.encode()]) for key, value in values.items()])
        return dn

    def modify(self, dn: str, **attrs: str) -> None:
        changes = [(ldap.MOD_REPLACE, key, [value.encode()]) for key, value in attrs.items()]
        self._connection.modify_s(dn, changes)

    def rename(self, dn: str, rdn: str, parent: str | None = None) -> str:
        self._connection.rename_s(dn, rdn, parent)
        return f"{rdn},{parent or dn.partition(',')[2]}"

    def delete(self, *dns: str) -> None:
        for dn in dns:
            self._connection.delete_s(dn)

    def swap(self, one: str, other: str) -> None:
        """Let two entries below the base swap their names."""
        rdns = [dn.partition(",")[0] for dn in (one, other)]
        aside = self.rename(one, f"{rdns[0].partition('=')[0]}=aside")
        self.rename(other, rdns[0])
        self.rename(aside, rdns[1])

    def refer(self, name: str, url: str) -> str:
        dn = f"cn={name},{self.base}"
        classes = [b"referral", b"extensibleObject"]
        self._connection.add_s(
            dn, [("objectClass", classes), ("cn", [name.encode()]), ("ref", [url.encode()])]
        )
        return dn

    def refer_elsewhere(self, dn: str, url: str) -> None:
        change = [(ldap.MOD_REPLACE, "ref", [url.encode()])]
        self._connection.modify_ext_s(  # type: ignore[attr-defined]
            dn, change, serverctrls=[MANAGE_DSA_IT]
        )

    def stop_referring(self, dn: str) -> None:
        self._connection.delete_ext_s(  # type: ignore[attr-defined]
            dn, serverctrls=[MANAGE_DSA_IT]
        )

    def url(self, filter: str = "", attrs: str = "", scope: str = "sub", base: str = "") -> str:
        return f"{self.server.url}/{base or self.base}?{attrs}?{scope}?{filter}"

    def holds(self, filter: str = "(objectClass=*)") -> dict[str, dict[str, list[bytes]]]:
        return server_content(self._connection, self.base, ldap.SCOPE_SUBTREE, filter, ["*"])


@pytest.fixture
def tree(slapd: Slapd) -> Iterator[Tree]:
    with slapd.connected() as connection:
        yield Tree(slapd, connection)


@pytest.fixture
def tree_without_log(slapd_nolog: Slapd) -> Iterator[Tree]:
    with slapd_nolog.connected() as connection:
        yield Tree(slapd_nolog, connection)


@pytest.fixture(params=["slapd", "slapd_nolog"], ids=["session log", "no session log"])
def either_tree(request: pytest.FixtureRequest) -> Iterator[Tree]:
    server: Slapd = request.getfixturevalue(request.param)
    with server.connected() as connection:
        yield Tree(server, connection)


@pytest.fixture
def data_path(tmp_path: Path) -> str:
    return f"{tmp_path}/"


def refresh(data_path: str, recorder: Recorder, url: str | None = None) -> None:
    """Run a client that ends after the refresh; what was heard before is forgotten."""
    recorder.clear()
    with Syncrepl(data_path, recorder, REFRESH_ONLY, url) as client:
        client.run()
        assert content(contents(client)) == content(recorder.mirror)


def settle(client: Syncrepl, recorder: Recorder, tree: Tree, filter: str = "") -> None:
    """Poll until the client holds what the server does, by the store and by the callbacks."""
    deadline = time.monotonic() + HANGS_SECONDS
    expected = tree.holds(filter or "(objectClass=*)")
    while content(contents(client)) != expected:
        assert time.monotonic() < deadline, (contents(client), expected)
        assert client.poll(1)
    assert content(recorder.mirror) == expected


class Boom(Exception):
    """What a callback raises."""


# --- modes, poll, run, with, unbind


@MODES
def test_the_first_refresh(mode: SyncreplMode, tree: Tree, data_path: str) -> None:
    ann, bob = tree.person("ann"), tree.person("bob")
    recorder = Recorder()
    client = Syncrepl(data_path, recorder, mode, tree.url())
    [(what, connection)] = recorder.heard  # the constructor has bound, and not polled
    assert what == "bind"
    assert isinstance(connection, LDAPObject)
    assert connection.whoami_s() == ""
    recorder.clear()
    polls = []
    while not recorder.of("commit"):
        polls.append(client.poll(10))
    assert recorder.kinds == ["add", "add", "add", "refresh_done", "cookie", "commit"]
    assert set(recorder.of("add")) == {("add", tree.base), ("add", ann), ("add", bob)}
    assert ("refresh_done", 3) in recorder.heard
    assert content(contents(client)) == content(recorder.mirror) == tree.holds()
    assert recorder.mirror[ann]["uid"] == [b"ann"]
    assert recorder.messages
    assert polls[-1] is (mode is PERSIST)
    assert client.poll(0.01) is (mode is PERSIST)
    client.unbind()


@MODES
def test_nothing_happened_since(mode: SyncreplMode, tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    refresh(data_path, recorder, tree.url())
    recorder.clear()
    with Syncrepl(data_path, recorder, mode) as client:
        while not recorder.of("refresh_done"):
            client.poll(10)
    assert recorder.kinds == ["bind", "refresh_done", "commit"]


def test_changes_as_they_happen(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        poll_until(client, recorder, "commit")
        recorder.clear()
        ann = tree.person("ann")
        settle(client, recorder, tree)
        assert recorder.kinds == ["add", "cookie", "commit"]
        tree.modify(ann, title="Boss")
        settle(client, recorder, tree)
        bob = tree.rename(ann, "uid=bob")
        settle(client, recorder, tree)
        tree.delete(bob)
        settle(client, recorder, tree)
    # slapd's modrdn changes uid too, so a change follows the rename
    assert recorder.changes == [
        ("add", ann),
        ("change", ann),
        ("rename", ann, bob),
        ("change", bob),
        ("delete", bob),
    ]


def test_changes_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    ann, bob, cleo = tree.person("ann"), tree.person("bob"), tree.person("cleo")
    refresh(data_path, recorder, tree.url())
    tree.modify(ann, title="Boss")
    ben = tree.rename(bob, "uid=ben")
    tree.delete(cleo)
    dana = tree.person("dana")
    refresh(data_path, recorder)
    assert sorted(recorder.changes) == [
        ("add", dana),
        ("change", ann),
        ("change", ben),
        ("delete", cleo),
        ("rename", bob, ben),
    ]
    assert content(recorder.mirror) == tree.holds()
    refresh(data_path, recorder)
    assert recorder.changes == []


def test_run_ends_when_it_is_over(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        recorder.on["commit"] = client.please_stop
        client.run()
        assert not client.poll()
    assert recorder.of("refresh_done")


def test_with_unbinds_and_lets_exceptions_through(tree: Tree, data_path: str) -> None:
    boom = Boom()
    with (
        pytest.raises(Boom) as raised,
        Syncrepl(data_path, BaseCallback, PERSIST, tree.url()) as client,
    ):
        raise boom
    assert raised.value is boom
    with pytest.raises(exceptions.ClosedError):
        client.poll()
    with Syncrepl(data_path, BaseCallback, PERSIST, tree.url()) as client:
        client.unbind()  # by oneself is fine, too


METHODS: dict[str, Callable[[Syncrepl], object]] = {
    "poll": lambda client: client.poll(),
    "poll(0)": lambda client: client.poll(0),
    "run": lambda client: client.run(),
    "please_stop": lambda client: client.please_stop(),
    "unbind": lambda client: client.unbind(),
    "with": lambda client: client.__enter__(),
}


@pytest.mark.parametrize("method", METHODS)
def test_after_unbind(method: str, tree: Tree, data_path: str) -> None:
    client = Syncrepl(data_path, BaseCallback, PERSIST, tree.url())
    assert "PERSIST" in repr(client)
    client.unbind()
    with pytest.raises(exceptions.ClosedError, match="unbound"):
        METHODS[method](client)
    assert "closed" in repr(client)


@pytest.mark.parametrize("method", ["poll", "run", "unbind", "with"])
def test_methods_called_in_a_callback(method: str, tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        recorder.on["add"] = lambda: METHODS[method](client)
        with pytest.raises(exceptions.UsageError, match="while poll"):
            client.poll(10)
        assert contents(client) == {}
        recorder.on.clear()
        recorder.mirror.clear()
        settle(client, recorder, tree)


# --- callbacks


class Silent(BaseCallback):
    made = 0

    def __init__(self) -> None:
        Silent.made += 1


def test_a_class_or_an_instance(tree: Tree, data_path: str) -> None:
    Silent.made = 0
    with Syncrepl(data_path, Silent, REFRESH_ONLY, tree.url()) as client:
        assert Silent.made == 1
        assert isinstance(client.callback, Silent)
        client.run()
    instance = Silent()
    with Syncrepl(data_path, instance, REFRESH_ONLY, tree.url()) as client:
        assert client.callback is instance


def test_a_callback_need_not_be_a_base_callback(tree: Tree, data_path: str) -> None:
    class Duck:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: None

    with Syncrepl(data_path, Duck(), REFRESH_ONLY, tree.url()) as client:
        client.run()
        assert content(contents(client)) == tree.holds()


def test_dispatch_gets_the_whole_change(tree: Tree, data_path: str) -> None:
    changes: list[Change] = []

    class Whole(BaseCallback):
        def dispatch(self, change: Change) -> None:
            changes.append(change)

        def record_add(self, dn: str, attrs: Attributes) -> None:
            raise AssertionError("dispatch was overridden")

    with Syncrepl(data_path, Whole, PERSIST, tree.url("", "*,entryUUID")) as client:
        while not changes:
            client.poll(10)
        unit = changes[0]
        assert (unit.kind, unit.phase) == (ChangeKind.ADD, Phase.REFRESH)
        assert (unit.old_dn, unit.new_dn, unit.old_attrs) == (None, tree.base, None)
        assert unit.new_attrs is not None
        assert unit.new_attrs["entryUUID"] == [str(unit.uuid).encode()]
        with pytest.raises(AttributeError):
            unit.kind = ChangeKind.DELETE  # type: ignore[misc]
        ann = tree.person("ann")
        bob = tree.rename(ann, "uid=bob")
        tree.delete(bob)
        while changes[-1].kind is not ChangeKind.DELETE:
            client.poll(10)
    gone = changes[-1]
    assert (gone.old_dn, gone.new_dn, gone.new_attrs) == (bob, None, None)
    assert gone.old_attrs is not None
    assert gone.phase is Phase.PERSIST


def test_the_logging_callback(tree: Tree, data_path: str, caplog: pytest.LogCaptureFixture) -> None:
    ann = tree.person("ann", title="Queen")
    with (
        caplog.at_level(logging.DEBUG),
        Syncrepl(data_path, LoggingCallback, REFRESH_ONLY, tree.url()) as client,
    ):
        client.run()
    assert f"add {ann}" in caplog.text
    assert "Queen" not in caplog.text


def test_an_exception_of_debug_is_logged_and_no_more(
    tree: Tree, data_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Loud(BaseCallback):
        def debug(self, message: str) -> None:
            raise Boom

    with Syncrepl(data_path, Loud, REFRESH_ONLY, tree.url()) as client:
        client.run()
        assert content(contents(client)) == tree.holds()
    assert "Boom" in caplog.text


def test_an_exception_of_bind_complete(tree: Tree, data_path: str, tmp_path: Path) -> None:
    boom = Boom()

    class Refuses(BaseCallback):
        def bind_complete(self, ldap: Any) -> None:
            raise boom

    with pytest.raises(Boom) as raised:
        Syncrepl(data_path, Refuses, REFRESH_ONLY, tree.url())
    assert raised.value is boom
    assert list(tmp_path.iterdir()) == []


def test_bind_complete_may_use_the_connection(tree: Tree, data_path: str) -> None:
    found: list[Any] = []

    class Curious(BaseCallback):
        def bind_complete(self, ldap: LDAPObject) -> None:
            found.extend(ldap.search_s(tree.base, 0))

    with Syncrepl(data_path, Curious, REFRESH_ONLY, tree.url()) as client:
        client.run()
    assert found[0][0] == tree.base


class Failing(Recorder):
    """Raises at the next call of one method."""

    def __init__(self, what: str, mirror: Mapping[str, Attributes]) -> None:
        super().__init__(mirror)
        self.boom = Boom(what)
        self.on[what] = self.fail

    def fail(self) -> None:
        raise self.boom


@MODES
@pytest.mark.parametrize(
    "what", ["add", "change", "rename", "delete", "refresh_done", "cookie", "commit"]
)
def test_a_callback_that_raises(
    what: str, mode: SyncreplMode, either_tree: Tree, data_path: str
) -> None:
    tree, recorder = either_tree, Recorder()
    ann, bob, cleo = tree.person("ann"), tree.person("bob"), tree.person("cleo")
    refresh(data_path, recorder, tree.url())
    before = dict(recorder.mirror)
    tree.modify(ann, title="Boss")
    tree.rename(bob, "uid=ben")
    tree.delete(cleo)
    tree.person("dana")

    for attempt in "first", "second":
        failing = Failing(what, before)
        with Syncrepl(data_path, failing, mode) as client:
            with pytest.raises(Boom) as raised:
                client.run()
            assert raised.value is failing.boom
            assert not client.store.in_transaction
            assert contents(client) == before
            if attempt == "first":
                continue
            failing.on.clear()
            failing.mirror = dict(before)
            failing.clear()
            while not failing.of("commit"):  # the same client takes it up again
                assert client.poll(10) or failing.of("commit")
            assert content(contents(client)) == content(failing.mirror) == tree.holds()
    assert len(failing.changes) == 5
    assert failing.kinds[-3:] == ["refresh_done", "cookie", "commit"]


@pytest.mark.parametrize("what", ["add", "cookie", "commit"])
def test_a_callback_that_raises_in_the_persist_stage(what: str, tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        poll_until(client, recorder, "commit")
        failing = Failing(what, recorder.mirror)
        before = dict(recorder.mirror)
        client.callback = failing
        ann = tree.person("ann")
        with pytest.raises(Boom) as raised:
            client.run()
        assert raised.value is failing.boom
        assert contents(client) == before
        failing.on.clear()
        failing.mirror = dict(before)
        failing.clear()
        settle(client, failing, tree)
        assert failing.changes == [("add", ann)]
    refresh(data_path, failing)
    assert failing.changes == []


def test_the_order_of_the_last_calls(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        poll_until(client, recorder, "commit")
        tree.person("ann")
        settle(client, recorder, tree)
    assert recorder.kinds == [
        *("bind", "add", "refresh_done", "cookie", "commit"),
        *("add", "cookie", "commit"),
    ]


def test_what_refresh_done_gets(tree: Tree, data_path: str) -> None:
    ann = tree.person("ann")
    seen: list[str] = []

    class Looks(BaseCallback):
        def refresh_done(self, items: Mapping[str, Attributes]) -> None:
            assert isinstance(items, Mapping)
            assert not hasattr(items, "__setitem__")
            assert len(items) == 2
            assert set(items) == {tree.base, ann}
            assert items[ann]["uid"] == [b"ann"]
            assert items[ann.upper().replace(",", " , ")] == items[ann]
            assert "uid=nobody" not in items
            assert dict(items.items())[ann] in items.values()
            seen.extend(items)

    with Syncrepl(data_path, Looks, REFRESH_ONLY, tree.url()) as client:
        client.run()
    assert seen == [tree.base, ann]


def database(client: Syncrepl) -> sqlite3.Connection:
    assert isinstance(client.store, SQLiteStore)
    return client.store.connection


def test_user_tables_are_written_exactly_once(tree: Tree, data_path: str) -> None:
    for name in ("ann", "bob", "cleo"):
        tree.person(name)
    commits: list[str] = []

    class Writes(BaseCallback):
        client: Syncrepl

        def record_add(self, dn: str, attrs: Attributes) -> None:
            database(self.client).execute("INSERT INTO person VALUES (?)", (dn,))

        def before_commit(self) -> None:
            commits.append("")
            if len(commits) % 2:
                raise Boom

    callback = Writes()
    with Syncrepl(data_path, callback, PERSIST, tree.url()) as client:
        callback.client = client
        connection = database(client)
        connection.execute("CREATE TABLE person (dn TEXT)")

        def rows() -> int:
            return int(connection.execute("SELECT count(*) FROM person").fetchone()[0])

        with pytest.raises(Boom):
            client.run()
        assert rows() == 0
        while rows() == 0:
            assert client.poll(10)
        assert rows() == 4
        tree.person("dana")
        with pytest.raises(Boom):
            client.run()
        assert rows() == 4
        while rows() == 4:
            assert client.poll(10)
        assert rows() == len(client.store.items()) == 5


# --- which search


def test_the_store_remembers_the_url(tree: Tree, data_path: str) -> None:
    ann = tree.person("ann", title="Queen")
    recorder = Recorder()
    refresh(data_path, recorder, tree.url("(uid=*)", "uid,title"))
    assert recorder.mirror == {ann: {"uid": [b"ann"], "title": [b"Queen"]}}
    tree.modify(ann, title="King", description="not asked for")
    refresh(data_path, recorder)
    assert recorder.mirror == {ann: {"uid": [b"ann"], "title": [b"King"]}}


def test_no_url_and_nothing_to_remember_one(data_path: str, tmp_path: Path) -> None:
    with pytest.raises(exceptions.LDAPUrlError, match="ldap_url is None"):
        Syncrepl(data_path, BaseCallback, PERSIST)
    assert list(tmp_path.iterdir()) == []


def test_a_remembered_url_has_no_password(tree: Tree, data_path: str) -> None:
    bound = f"{tree.url()}?bindname={tree.server.root_dn.replace(',', '%2C')}"
    recorder = Recorder()
    refresh(data_path, recorder, f"{bound},X-BINDPW={tree.server.root_pw}")
    with pytest.raises(exceptions.LDAPUrlError, match="without a password"):
        Syncrepl(data_path, recorder, REFRESH_ONLY)
    with Syncrepl(data_path, recorder, REFRESH_ONLY, password=tree.server.root_pw) as client:
        connection = recorder.of("bind")[-1][1]
        assert connection.whoami_s() == f"dn:{tree.server.root_dn}"
        client.run()


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("base", {"base": "dc=example,dc=com"}),
        ("scope", {"scope": "one"}),
        ("filter", {"filter": "(uid=*)"}),
        ("attributes", {"attrs": "uid"}),
        ("attributes", {"attrs": "*,+"}),
    ],
)
def test_another_search_is_a_conflict(
    what: str, change: dict[str, str], tree: Tree, data_path: str
) -> None:
    recorder = Recorder()
    refresh(data_path, recorder, tree.url("(objectClass=*)"))
    with pytest.raises(exceptions.LDAPUrlConflict, match=f"another search: {what}") as raised:
        Syncrepl(
            data_path, recorder, REFRESH_ONLY, tree.url(**{"filter": "(objectClass=*)", **change})
        )
    assert str(raised.value).count("asked for") == 1
    refresh(data_path, recorder)
    assert recorder.changes == []


def test_the_same_search_otherwise_written(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    refresh(data_path, recorder, tree.url("(uid=*)", "uid,CN"))
    base = tree.base.upper().replace(",", ", ").replace(" ", "%20")
    refresh(data_path, recorder, tree.url("(uid=*)", "cn,uid", base=base))
    refresh(data_path, recorder, ldapurl.LDAPUrl(tree.url("(uid=*)", "uid,cn")))  # type: ignore[arg-type]


def test_host_and_credentials_may_change(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    refresh(data_path, recorder, tree.url())
    ann = tree.person("ann")
    elsewhere = tree.url().replace("127.0.0.1", "localhost")
    name = tree.server.root_dn.replace(",", "%2C")
    refresh(data_path, recorder, f"{elsewhere}?bindname={name},X-BINDPW={tree.server.root_pw}")
    assert recorder.changes == [("add", ann)]
    refresh(data_path, recorder, tree.url())
    assert recorder.changes == []


def test_scopes(tree: Tree, tmp_path: Path) -> None:
    unit = tree.unit("unit")
    ann = tree.person("ann", unit)
    expected = {"base": {tree.base}, "one": {unit}, "sub": {tree.base, unit, ann}}
    for scope, names in expected.items():
        recorder = Recorder()
        refresh(f"{tmp_path}/{scope}-", recorder, tree.url(scope=scope))
        assert set(recorder.mirror) == names
    assert (tmp_path / "one-syncrepl.sqlite3").exists()


# --- several clients, several stores


def test_several_clients(tree: Tree, tmp_path: Path) -> None:
    recorders = [Recorder(), Recorder()]
    clients = [
        Syncrepl(f"{tmp_path}/{number}", recorder, PERSIST, tree.url())
        for number, recorder in enumerate(recorders)
    ]
    with clients[0], clients[1]:
        tree.person("ann")
        for client, recorder in zip(clients, recorders):
            settle(client, recorder, tree)
        with pytest.raises(exceptions.StoreLocked, match="in use by another client"):
            Syncrepl(f"{tmp_path}/0", BaseCallback, PERSIST, tree.url())
        tree.person("bob")
        for client, recorder in zip(clients, recorders):
            settle(client, recorder, tree)


def test_shelve(tree: Tree, data_path: str, tmp_path: Path) -> None:
    recorder = Recorder()
    for name in ("ann", "bob"):
        dn = tree.person(name)
        recorder.clear()
        with Syncrepl(data_path, recorder, PERSIST, tree.url(), store="shelve") as client:
            settle(client, recorder, tree)
        assert ("add", dn) in recorder.changes
    assert len(recorder.changes) == 1
    assert not (tmp_path / "syncrepl.sqlite3").exists()


def test_memory(tree: Tree, tmp_path: Path) -> None:
    recorder = Recorder()
    with Syncrepl("/nowhere/", recorder, PERSIST, tree.url(), store="memory") as client:
        settle(client, recorder, tree)
        tree.person("ann")
        settle(client, recorder, tree)
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_ones_own(tree: Tree) -> None:
    store, recorder = MemoryStore(), Recorder()
    for _ in range(2):
        dn = tree.person(f"p{len(recorder.mirror)}")
        recorder.clear()
        with Syncrepl("", recorder, REFRESH_ONLY, tree.url(), store=store) as client:
            assert client.store is store
            client.run()
    assert recorder.changes == [("add", dn)]


# --- names


def test_a_rename_cascade(tree: Tree, data_path: str) -> None:
    top = tree.unit("top")
    inner = tree.unit("inner", top)
    ann, bob = tree.person("ann", inner), tree.person("bob", top)
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        settle(client, recorder, tree)
        recorder.clear()
        new_top = tree.rename(top, "ou=new")
        settle(client, recorder, tree)
        renames = recorder.of("rename")
        assert set(renames) == {
            ("rename", old, old.replace(top, new_top)) for old in (top, inner, ann, bob)
        }
        names = [old for _, old, _ in renames]
        assert names.index(top) < names.index(inner) < names.index(ann)
        assert recorder.of("change") == [("change", new_top)]

        below = tree.unit("below")
        settle(client, recorder, tree)
        recorder.clear()
        tree.rename(new_top, "ou=new", below)
        settle(client, recorder, tree)
        assert len(recorder.changes) == len(recorder.of("rename")) == 4


def test_a_rename_cascade_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    top = tree.unit("top")
    inner = tree.unit("inner", top)
    ann = tree.person("ann", inner)
    refresh(data_path, recorder, tree.url())
    tree.modify(ann, title="Boss")
    new_top = tree.rename(top, "ou=new")
    refresh(data_path, recorder)
    assert len(recorder.of("rename")) == 3
    assert recorder.of("rename")[0] == ("rename", top, new_top)
    assert not recorder.of("add", "delete")
    assert content(recorder.mirror) == tree.holds()


def test_the_spelling_of_a_name(tree: Tree, data_path: str) -> None:
    unit = tree.unit("unit")
    ann = tree.person("ann", unit)
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        settle(client, recorder, tree)
        recorder.clear()
        capital = tree.rename(unit, "ou=Unit")
        settle(client, recorder, tree)
        assert recorder.of("rename") == [
            ("rename", unit, capital),
            ("rename", ann, ann.replace(unit, capital)),
        ]
        assert not recorder.of("add", "delete")
    tree.rename(capital, "ou=UNIT")
    refresh(data_path, recorder)
    assert len(recorder.of("rename")) == 2
    assert content(recorder.mirror) == tree.holds()


def test_in_and_out_of_the_filter(tree: Tree, data_path: str) -> None:
    ann = tree.person("ann", title="in")
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url("(title=in)")) as client:
        for title in ("in", "out", "in", "out"):
            tree.modify(ann, title=title)
            settle(client, recorder, tree, "(title=in)")
        bob = tree.person("bob", title="out")
        tree.modify(bob, title="in")
        settle(client, recorder, tree, "(title=in)")
    kinds = [("add", ann), ("delete", ann)]
    assert recorder.changes == [*kinds, *kinds, ("add", bob)]


def test_in_and_out_of_the_filter_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    ann, bob = tree.person("ann", title="in"), tree.person("bob", title="out")
    tree.person("cleo", title="in")
    refresh(data_path, recorder, tree.url("(title=in)"))
    tree.modify(ann, title="out")
    tree.modify(bob, title="in")
    refresh(data_path, recorder)
    assert sorted(recorder.changes) == [("add", bob), ("delete", ann)]
    tree.modify(ann, title="in")
    refresh(data_path, recorder)
    assert recorder.changes == [("add", ann)]


def test_out_of_the_scope(tree: Tree, data_path: str) -> None:
    one, other = tree.unit("one"), tree.unit("other")
    ann = tree.person("ann", one)
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url(base=one)) as client:
        poll_until(client, recorder, "commit")
        recorder.clear()
        there = tree.rename(ann, "uid=ann", other)
        poll_until(client, recorder, "delete")
        tree.rename(there, "uid=ann", one)
        poll_until(client, recorder, "add")
        assert content(contents(client)) == content(recorder.mirror)
    assert recorder.changes == [("delete", ann), ("add", ann)]


def test_deleted_and_added_again(tree: Tree, data_path: str) -> None:
    ann = tree.person("ann", title="first")
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        settle(client, recorder, tree)
        recorder.clear()
        tree.delete(ann)
        tree.person("ann", title="second")
        settle(client, recorder, tree)
    assert recorder.changes == [("delete", ann), ("add", ann)]


def test_deleted_and_added_again_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    unit = tree.unit("unit")
    ann = tree.person("ann", unit, title="first")
    refresh(data_path, recorder, tree.url())
    tree.delete(ann, unit)
    tree.unit("unit")
    tree.person("ann", unit, title="second")
    refresh(data_path, recorder)
    assert sorted(recorder.of("delete")) == sorted([("delete", ann), ("delete", unit)])
    assert sorted(recorder.of("add")) == sorted([("add", unit), ("add", ann)])
    assert content(recorder.mirror) == tree.holds()


def two_people(tree: Tree) -> tuple[str, str]:
    return tree.person("ann", title="first"), tree.person("bob", title="second")


def two_units(tree: Tree) -> tuple[str, str]:
    one, other = tree.unit("one"), tree.unit("other")
    tree.person("ann", one)
    tree.person("ann", other)
    tree.person("bob", tree.unit("deep", one))
    return one, other


@pytest.mark.parametrize("make", [two_people, two_units])
def test_swapped_names(make: Callable[[Tree], tuple[str, str]], tree: Tree, data_path: str) -> None:
    one, other = make(tree)
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        settle(client, recorder, tree)
        tree.swap(one, other)
        settle(client, recorder, tree)
    refresh(data_path, recorder)
    assert recorder.changes == []


@pytest.mark.parametrize("make", [two_people, two_units])
def test_swapped_names_while_away(
    make: Callable[[Tree], tuple[str, str]], either_tree: Tree, data_path: str
) -> None:
    tree, recorder = either_tree, Recorder()
    one, other = make(tree)
    refresh(data_path, recorder, tree.url())
    before = dict(recorder.mirror)
    tree.swap(one, other)
    refresh(data_path, recorder)
    assert content(recorder.mirror) == tree.holds() != content(before)
    refresh(data_path, recorder)
    assert recorder.changes == []


# --- references


def test_references(tree: Tree, data_path: str) -> None:
    here, there = "ldap://here.example.com/dc=x", "ldap://there.example.com/dc=x"
    referral = tree.refer("elsewhere", here)
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        poll_until(client, recorder, "commit")
        assert set(contents(client)) == {tree.base}
        tree.refer_elsewhere(referral, there)
        poll_until(client, recorder, "reference", 2)
        tree.stop_referring(referral)
        poll_until(client, recorder, "reference", 3)
    # slapd adds the scope
    assert [
        (old and old[0].partition("?")[0], new and new[0].partition("?")[0])
        for _, old, new in recorder.of("reference")
    ] == [([], here), (here, there), (there, [])]
    assert recorder.of("add", "delete") == [("add", tree.base)]


def test_references_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    referral = tree.refer("elsewhere", "ldap://here.example.com/dc=x")
    refresh(data_path, recorder, tree.url())
    refresh(data_path, recorder)
    assert recorder.changes == []
    tree.person("ann")  # so that something is sent at all
    refresh(data_path, recorder)
    assert not recorder.of("reference")
    tree.refer_elsewhere(referral, "ldap://there.example.com/dc=x")
    refresh(data_path, recorder)
    assert len(recorder.changes) == len(recorder.of("reference")) == 1
    tree.stop_referring(referral)
    refresh(data_path, recorder)
    [(_, old, new)] = recorder.changes
    assert old
    assert new == []


# --- what the server does on its own


def test_changes_elsewhere_move_the_cookie(tree: Tree, data_path: str) -> None:
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        poll_until(client, recorder, "commit")
        recorder.clear()
        elsewhere = tree.unit(f"elsewhere{next(numbers)}", tree.outside)
        poll_until(client, recorder, "cookie")
        tree.delete(elsewhere)
        assert recorder.kinds[:2] == ["cookie", "commit"]
        assert recorder.changes == []


def test_the_base_is_renamed_in_mid_persist(tree: Tree, data_path: str) -> None:
    ann = tree.person("ann")
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        settle(client, recorder, tree)
        before = contents(client)
        rdn = tree.base.partition(",")[0]
        away = tree.rename(tree.base, f"{rdn}-renamed")
        tree.modify(ann.replace(tree.base, away), title="Boss")
        with pytest.raises(ldap.NO_SUCH_OBJECT):  # after 4096, by its search without a cookie
            client.run()
        assert not client.poll(0)
        assert contents(client) == before
    assert not recorder.of("delete", "rename")
    with Syncrepl(data_path, recorder, PERSIST, tree.url()) as client:
        with pytest.raises(ldap.NO_SUCH_OBJECT):
            client.run()
        assert contents(client) == before
    tree.rename(away, rdn)
    recorder.clear()
    refresh(data_path, recorder)
    assert not recorder.of("delete", "add", "rename")
    assert content(recorder.mirror) == tree.holds()


def test_the_base_is_deleted_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    ann = tree.person("ann")
    refresh(data_path, recorder, tree.url())
    tree.delete(ann, tree.base)
    with Syncrepl(data_path, recorder, REFRESH_ONLY) as client:
        with pytest.raises(ldap.NO_SUCH_OBJECT):
            client.run()
        assert len(client.store.items()) == 2
    assert not recorder.of("delete")


def test_everything_is_deleted_while_away(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    people = [tree.person(f"p{number}") for number in range(5)]
    refresh(data_path, recorder, tree.url("(uid=*)"))
    tree.delete(*people)
    refresh(data_path, recorder)
    assert sorted(recorder.changes) == [("delete", dn) for dn in people]
    refresh(data_path, recorder)
    assert recorder.changes == []


def test_a_present_phase(tree_without_log: Tree, data_path: str) -> None:
    """No session log: the server names what is still there, 256 at a time."""
    tree, recorder = tree_without_log, Recorder()
    people = [tree.person(f"p{number:03d}") for number in range(300)]
    refresh(data_path, recorder, tree.url())
    tree.delete(*people[:20])
    tree.modify(people[50], title="Boss")
    refresh(data_path, recorder)
    assert sorted(recorder.of("delete")) == [("delete", dn) for dn in people[:20]]
    assert [heard for heard in recorder.changes if heard[0] != "delete"] == [("change", people[50])]
    assert content(recorder.mirror) == tree.holds()


def test_deletes_come_children_first(either_tree: Tree, data_path: str) -> None:
    tree, recorder = either_tree, Recorder()
    top = tree.unit("top")
    inner = tree.unit("inner", top)
    ann = tree.person("ann", inner)
    refresh(data_path, recorder, tree.url())
    tree.delete(ann, inner, top)
    refresh(data_path, recorder)
    assert recorder.changes == [("delete", ann), ("delete", inner), ("delete", top)]


def test_the_server_goes_away_and_comes_back(run_server: Any, data_path: str) -> None:
    server = run_server(Slapd, sessionlog=10)
    url = f"{server.url}/{server.suffix}??sub"
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, url, reconnect=False) as client:
        poll_until(client, recorder, "commit")
        server.stop()
        with pytest.raises(ldap.SERVER_DOWN):
            client.run()
        assert not client.poll(0)
    assert not recorder.of("delete")
    server.start()
    refresh(data_path, recorder)
    assert recorder.changes == []


def test_a_url_without_a_scope_is_warned_of(
    tree: Tree, data_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    refresh(data_path, recorder, f"{tree.server.url}/{tree.base}")
    assert [record.message for record in caplog.records if "names no scope" in record.message]
    caplog.clear()
    refresh(data_path, recorder)
    assert "names no scope" not in caplog.text
