# SPDX-License-Identifier: BSD-3-Clause
"""The feed: what a callback is told without a server, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client import Backoff, Change, Phase, RetryCallback
from syncrepl_client.callbacks import AsyncCallback, Attributes, BaseCallback
from syncrepl_client.exceptions import (
    CallbackInvalid,
    ClosedError,
    ConfigurationError,
    ProtocolError,
    StoreError,
    UsageError,
)
from syncrepl_client.store import MemoryStore
from syncrepl_client.testing import Feed
from tests.unit.driver import Mirror, done

BASE = "dc=x"
ADA, BEN, PEOPLE = "cn=Ada,ou=p,dc=x", "cn=Ben,ou=p,dc=x", "ou=p,dc=x"


class Recorder(BaseCallback):
    """Writes down what it is told, in words; fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.changes: list[Change] = []
        self.fails: Callable[[str], bool] = lambda call: False

    def _hear(self, call: str) -> None:
        self.calls.append(call)
        if self.fails(call):
            raise OSError(call)

    def heard(self) -> list[str]:
        """What was told since this was asked last."""
        calls, self.calls = self.calls, []
        return calls

    def dispatch(self, change: Change) -> None:
        self.changes.append(change)
        super().dispatch(change)

    def record_add(self, dn: str, attrs: Attributes) -> None:
        self._hear(f"add {dn}")
        attrs.clear()  # they are the callback's to keep

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        self._hear(f"change {dn}")
        new_attrs.clear()

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        self._hear(f"rename {old_dn} {new_dn}")

    def record_delete(self, dn: str) -> None:
        self._hear(f"delete {dn}")

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        self._hear(f"refresh_done {len(items)}")

    def cookie_change(self, cookie: bytes) -> None:
        self._hear("cookie_change")

    def before_commit(self) -> None:
        self._hear("before_commit")


COMMITTED = ["cookie_change", "before_commit"]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def feed(recorder: Recorder) -> Feed:
    """In the persist stage, with three entries that the callback knows."""
    feed = Feed(recorder)
    feed.add(PEOPLE, {"ou": ["p"]})
    feed.add(ADA, {"cn": ["Ada"], "mail": [b"ada@x"]})
    feed.add(BEN, {"cn": ["Ben"]})
    feed.refresh_done()
    recorder.calls.clear()
    recorder.changes.clear()
    return feed


def test_the_refresh_stage(recorder: Recorder) -> None:
    feed = Feed(recorder)
    feed.add(ADA, {"cn": ["Ada"]})
    assert recorder.heard() == [f"add {ADA}"]
    feed.commit()
    assert recorder.heard() == ["before_commit"]  # its cookie comes at the end
    feed.add(BEN, {"cn": ["Ben"]})
    feed.modify(BEN, {"sn": ["B"]})
    feed.delete(ADA)
    assert recorder.heard() == [f"add {BEN}", f"change {BEN}"]
    feed.refresh_done()
    assert recorder.heard() == [f"delete {ADA}", "refresh_done 1", *COMMITTED]
    assert [each.phase for each in recorder.changes] == [Phase.REFRESH] * 3 + [Phase.DELETE]


def test_a_subtree_is_renamed_in_the_refresh_stage(recorder: Recorder) -> None:
    feed = Feed(recorder)
    feed.add(ADA, {"cn": ["Ada"], "entryDN": [ADA]})
    feed.add(PEOPLE, {"ou": ["p"]})  # a child may come before its parent
    feed.rename(PEOPLE, "ou=q,dc=x")
    assert recorder.heard()[2:] == [
        f"rename {PEOPLE} ou=q,dc=x",
        "change ou=q,dc=x",
        f"rename {ADA} cn=Ada,ou=q,dc=x",
        "change cn=Ada,ou=q,dc=x",
    ]
    assert feed.store.items()["cn=Ada,ou=q,dc=x"]["entryDN"] == [b"cn=Ada,ou=q,dc=x"]


def test_the_persist_stage(feed: Feed, recorder: Recorder) -> None:
    uuid = feed.add("cn=Cleo,dc=x", {"cn": ["Cleo"]})
    feed.modify("CN=ada, ou=P, dc=x", {"MAIL": [], "sn": ("L",)})
    feed.rename("cn=Cleo,dc=x", "cn=C.,ou=p,dc=x", {"sn": ["C"]})
    feed.delete(BEN)
    assert recorder.heard() == [
        "add cn=Cleo,dc=x",
        f"change {ADA}",
        "rename cn=Cleo,dc=x cn=C.,ou=p,dc=x",
        "change cn=C.,ou=p,dc=x",
        f"delete {BEN}",
    ]
    added, changed, renamed, deleted = recorder.changes
    assert {each.phase for each in recorder.changes} == {Phase.PERSIST}
    assert added.uuid == renamed.uuid == uuid
    assert changed.old_attrs == {"cn": [b"Ada"], "mail": [b"ada@x"]}
    assert renamed.old_attrs == {"cn": [b"Cleo"]}
    assert deleted.old_attrs == {"cn": [b"Ben"]}
    feed.commit()
    assert recorder.heard() == COMMITTED
    assert dict(feed.store.items().items()) == {
        PEOPLE: {"ou": [b"p"]},
        ADA: {"cn": [b"Ada"], "sn": [b"L"]},
        "cn=C.,ou=p,dc=x": {"cn": [b"C."], "sn": [b"C"]},
    }
    assert [uuid, added.uuid] == [UUID(int=4)] * 2


def test_nothing_happened(feed: Feed, recorder: Recorder) -> None:
    feed.commit()
    assert recorder.heard() == []
    feed.modify(ADA, {"mail": ["ada@x"]})
    assert recorder.heard() == []
    feed.commit()
    assert recorder.heard() == COMMITTED  # as a client's, which got a message
    feed.restart()
    assert recorder.heard() == ["refresh_done 3", *COMMITTED]


def test_a_subtree_is_renamed(feed: Feed, recorder: Recorder) -> None:
    feed.rename(PEOPLE, "ou=q,dc=x")
    assert recorder.heard() == [
        f"rename {PEOPLE} ou=q,dc=x",
        "change ou=q,dc=x",
        f"rename {ADA} cn=Ada,ou=q,dc=x",
        f"rename {BEN} cn=Ben,ou=q,dc=x",
    ]
    feed.delete("ou=q,dc=x")
    feed.modify("cn=Ada,ou=q,dc=x", {"mail": ["new"]})
    assert recorder.heard() == ["delete ou=q,dc=x", "change cn=Ada,ou=q,dc=x"]


@pytest.mark.parametrize(
    ("attrs", "new", "renamed"),
    [
        ({"CN": ["ada", "A. L."]}, "cn=Countess,dc=x", {"CN": [b"A. L.", b"Countess"]}),
        ({"cn": ["Ada"]}, "cn=Ada,ou=q,dc=x", {"cn": [b"Ada"]}),
        ({"cn": ["Ada"]}, "uid=al+sn=L,dc=x", {"uid": [b"al"], "sn": [b"L"]}),
        ({"sn": ["L"]}, "cn=Countess,dc=x", {"sn": [b"L"]}),
    ],
)
def test_naming_values_change_with_the_name(
    attrs: dict[str, list[str]], new: str, renamed: Attributes
) -> None:
    feed = Feed(BaseCallback)
    feed.add(ADA, attrs)
    feed.rename(ADA, new)
    assert dict(feed.store.items().items()) == {new: renamed}


def test_another_spelling_is_a_rename(feed: Feed, recorder: Recorder) -> None:
    feed.rename(PEOPLE, "OU=p,dc=x")
    assert recorder.heard() == [
        f"rename {PEOPLE} OU=p,dc=x",
        f"rename {ADA} cn=Ada,OU=p,dc=x",
        f"rename {BEN} cn=Ben,OU=p,dc=x",
    ]


def test_a_callback_fails(feed: Feed, recorder: Recorder) -> None:
    recorder.fails = lambda call: call == f"change {ADA}"
    feed.add("cn=Cleo,dc=x", {"cn": ["Cleo"]})
    with pytest.raises(OSError, match=f"change {ADA}"):
        feed.modify(ADA, {"sn": ["L"]})
    assert len(feed.store.items()) == 3
    for method in (feed.commit, feed.refresh_done, lambda: feed.delete(ADA)):
        with pytest.raises(UsageError, match="after a failure: restart"):
            method()
    with pytest.raises(OSError, match=f"change {ADA}"):
        feed.restart()
    recorder.fails = lambda call: False
    recorder.heard()
    feed.restart()
    told = sorted(recorder.heard()[:2])
    assert told == ["add cn=Cleo,dc=x", f"change {ADA}"]
    assert len(feed.store.items()) == 4
    feed.delete(ADA)


@pytest.mark.parametrize("where", ["refresh_done 1", "cookie_change", "before_commit"])
def test_a_commit_fails(recorder: Recorder, where: str) -> None:
    feed = Feed(recorder)
    feed.add(ADA, {"cn": ["Ada"]})
    recorder.fails = lambda call: call == where
    with pytest.raises(OSError, match=where):
        feed.refresh_done()
    assert len(feed.store.items()) == 0
    recorder.fails = lambda call: False
    recorder.heard()
    feed.restart()
    assert recorder.heard() == [f"add {ADA}", "refresh_done 1", *COMMITTED]


def test_a_crash(feed: Feed, recorder: Recorder) -> None:
    feed.add("cn=Cleo,dc=x", {"cn": ["Cleo"]})
    recorder.heard()
    feed.crash()
    feed.modify(ADA, {"mail": ["new"]})
    feed.delete(BEN)
    for method in (feed.commit, feed.refresh_done):
        with pytest.raises(UsageError, match=r"after crash\(\): restart\(\) begins anew"):
            method()
    assert recorder.heard() == []
    another = Recorder()
    feed.restart(another)
    assert feed.callback is another
    assert another.heard() == [
        "add cn=Cleo,dc=x",
        f"change {ADA}",
        f"delete {BEN}",
        "refresh_done 3",
        *COMMITTED,
    ]
    assert recorder.heard() == []
    with pytest.raises(CallbackInvalid):
        feed.restart(object())


def test_two_entries_swap_names_while_nobody_listens(feed: Feed) -> None:
    feed.crash()
    feed.rename(ADA, "cn=x,dc=x")
    feed.rename(BEN, ADA)
    feed.rename("cn=x,dc=x", BEN)
    feed.restart()
    assert feed.store.items()[BEN]["mail"] == [b"ada@x"]


def test_a_callback_that_is_tried_again(recorder: Recorder) -> None:
    """In the refresh stage, and afterwards, as a client does it, but at once."""
    policy = RetryCallback(retries=2, backoff=Backoff(initial=600, maximum=600))
    feed = Feed(recorder, on_callback_error=policy)
    feed.add(PEOPLE, {"ou": ["p"]})
    recorder.fails = lambda call: recorder.calls.count(call) <= 2 and call.startswith("add cn")
    feed.add(ADA, {"cn": ["Ada"]})
    assert recorder.heard() == [f"add {PEOPLE}", f"add {ADA}"] * 3
    feed.refresh_done()
    recorder.heard()
    feed.add(BEN, {"cn": ["Ben"]})
    refreshed = ["refresh_done 3", *COMMITTED]
    assert recorder.heard() == [*[f"add {BEN}"] * 3, *refreshed]
    recorder.fails = lambda call: True
    with pytest.raises(OSError, match="delete"):
        feed.delete(BEN)
    assert recorder.heard() == [f"delete {BEN}"] * 3


def test_dead_letters(recorder: Recorder) -> None:
    letters: list[tuple[Change, Exception]] = []

    def dead_letter(change: Change, error: Exception) -> None:
        letters.append((change, error))

    feed = Feed(recorder, on_callback_error=RetryCallback(retries=1, dead_letter=dead_letter))
    recorder.fails = lambda call: call == f"add {ADA}"
    feed.add(ADA, {"cn": ["Ada"]})
    feed.refresh_done()
    ((change, error),) = letters
    assert change.new_dn == ADA
    assert isinstance(error, OSError)
    assert recorder.heard() == [f"add {ADA}"] * 2 + ["refresh_done 1", *COMMITTED]


def test_rows_of_ones_own(tmp_path: Path) -> None:
    class Accounts(BaseCallback):
        def record_add(self, dn: str, attrs: Attributes) -> None:
            database.execute("INSERT INTO account VALUES (?)", (dn,))

    with Feed(Accounts, store="sqlite", data_path=f"{tmp_path}/") as feed:
        database = feed.store.connection
        database.execute("CREATE TABLE account (dn TEXT PRIMARY KEY)")
        feed.add(ADA, {"cn": ["Ada"]})
        feed.commit()
        feed.add(BEN, {"cn": ["Ben"]})
        feed.crash()
        assert database.execute("SELECT dn FROM account").fetchall() == [(ADA,)]
        feed.restart()
        assert database.execute("SELECT dn FROM account").fetchall() == [(ADA,), (BEN,)]
    with pytest.raises(UsageError, match="a feed needs an empty one"):
        Feed(Accounts, store="sqlite", data_path=f"{tmp_path}/")


@pytest.mark.parametrize("store", ["sqlite", "shelve"])
def test_a_store_in_a_temporary_directory(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Feed(BaseCallback, store=store) as feed:
        feed.add(ADA, {"cn": ["Ada"]})
        feed.refresh_done()
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
    feed.close()
    with pytest.raises(ClosedError, match=r"add\(\)"):
        feed.add(BEN, {})


def test_a_store_of_ones_own() -> None:
    store = MemoryStore()
    with Feed(BaseCallback, store=store) as feed:
        assert feed.store is store
    with pytest.raises(ConfigurationError, match="store is"):
        Feed(BaseCallback, store="paper")


def test_a_commit_of_ones_own_is_noticed() -> None:
    class Meddler(BaseCallback):
        def record_add(self, dn: str, attrs: Attributes) -> None:
            meddled.store.connection.commit()

    meddled = Feed(Meddler, store="sqlite")
    with meddled, pytest.raises(StoreError, match="don't commit or roll back"):
        meddled.add(ADA, {"cn": ["Ada"]})


def test_async_callbacks() -> None:
    class Patient(AsyncCallback):
        def __init__(self) -> None:
            self.added: list[str] = []

        async def record_add(self, dn: str, attrs: Attributes) -> None:
            await asyncio.sleep(0)
            self.added.append(dn)

        async def record_delete(self, dn: str) -> None:
            await asyncio.sleep(0)
            raise OSError(dn)

    callback = Patient()
    feed = Feed(callback, run=asyncio.run)
    feed.add(ADA, {"cn": ["Ada"]})
    feed.refresh_done()
    assert callback.added == [ADA]
    with pytest.raises(OSError, match=ADA):
        feed.delete(ADA)
    with pytest.raises(CallbackInvalid, match="async"):
        Feed(callback)


def test_what_a_callback_may_not() -> None:
    class Meddler(BaseCallback):
        def record_add(self, dn: str, attrs: Attributes) -> None:
            meddled.delete(dn)

    meddled = Feed(Meddler)
    with pytest.raises(UsageError, match=r"delete\(\) in a method of the callback"):
        meddled.add(ADA, {"cn": ["Ada"]})
    with pytest.raises(CallbackInvalid):
        Feed(object())


def test_what_no_changes_lead_to(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(BaseCallback)
    monkeypatch.setattr(feed, "_end_of_refresh", lambda: done(deletes=False))
    with pytest.raises(ProtocolError, match=r"can't go on after Over\(\)"):
        feed.refresh_done()
    assert len(feed.store.items()) == 0


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("add", ("CN=ada,ou=p,dc=x", {}), "add of 'CN=ada,ou=p,dc=x': there is such an entry"),
        ("modify", ("cn=Cleo,dc=x", {}), "modify of 'cn=Cleo,dc=x': there is no such entry"),
        ("delete", ("cn=Cleo,dc=x",), "delete of 'cn=Cleo,dc=x': there is no such entry"),
        ("rename", ("cn=Cleo,dc=x", "cn=C,dc=x"), "rename of 'cn=Cleo,dc=x': there is no such"),
        ("rename", (ADA, BEN), f"there is an entry '{BEN}'"),
        ("rename", (PEOPLE, "ou=q,ou=p,dc=x"), "which is below it"),
        ("rename", (PEOPLE, "ou=q,dc=x"), "there is an entry 'cn=ben,ou=q,dc=x'"),
        ("refresh_done", (), r"restart\(\) refreshes once more"),
        ("add", ("Ada", {}), "not the DN of an entry: 'Ada'"),
        ("add", ("", {}), "not the DN of an entry: ''"),
        ("add", (None, {}), "not the DN of an entry: None"),
        ("rename", (ADA, "Ada"), "not the DN of an entry: 'Ada'"),
        ("modify", (ADA, {"cn": "Ada"}), "the values of cn are a list, not a str"),
        ("modify", (ADA, {"cn": 1}), "the values of cn are a list, not a int"),
        ("modify", (ADA, {"cn": [1]}), "a value of cn is a str or bytes, not a int"),
        ("modify", (ADA, {b"cn": []}), "the name of an attribute is a str"),
        ("modify", (ADA, [("cn", ["Ada"])]), "attrs maps names to lists of values; it is no list"),
    ],
)
def test_misuse_changes_nothing(
    feed: Feed, recorder: Recorder, method: str, arguments: Sequence[Any], message: str
) -> None:
    feed.add("cn=ben,ou=q,dc=x", {})
    recorder.heard()
    with pytest.raises(UsageError, match=message):
        getattr(feed, method)(*arguments)
    feed.restart()
    assert recorder.heard()[:-2] == ["add cn=ben,ou=q,dc=x", "refresh_done 4"]


# --- any sequence of changes


class Mirroring(BaseCallback):
    """Applies what it is told to a mirror, which refuses what can't be applied."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.committed = Mirror()
        self.told = 0

    def dispatch(self, change: Change) -> None:
        self.told += 1
        self.mirror.apply(change)

    def before_commit(self) -> None:
        self.committed = self.mirror.copy()


NAMES = st.sampled_from([f"{rdn}{above},{BASE}" for rdn in ("cn=1", "cn=2", "cn=3")
                         for above in ("", ",cn=1", ",cn=2", ",cn=1,cn=2")])  # fmt: skip
CHANGES = st.one_of(
    st.tuples(st.just("add"), NAMES, st.sampled_from([{"sn": ["a"]}, {"cn": ["1"]}])),
    st.tuples(st.just("modify"), NAMES, st.sampled_from([{"sn": ["b"]}, {"sn": []}])),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.sampled_from([("commit",), ("refresh_done",), ("crash",), ("restart",)]),
)


@given(st.lists(CHANGES, max_size=30))
def test_whoever_is_told_has_what_is_there(changes: list[tuple[Any, ...]]) -> None:
    callback = Mirroring()
    feed = Feed(callback)
    for method, *arguments in [*changes, ("restart",)]:
        if method in ("crash", "restart"):
            callback.mirror = callback.committed.copy()
        try:
            getattr(feed, method)(*arguments)
        except UsageError:
            continue
        assert callback.mirror.by_dn() == dict(feed.store.items().items())
    callback.told = 0
    feed.restart()
    assert callback.told == 0
