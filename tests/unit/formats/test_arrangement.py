# SPDX-License-Identifier: BSD-3-Clause
"""Changes in, operations out, in an order that a server takes."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from syncrepl_client import Change, ChangeKind, Phase
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.formats import arrangement
from syncrepl_client.formats.arrangement import Arrangement
from syncrepl_client.formats.ldifstate import open_state
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import MemoryStore

BASE = "o=x"


class Told:
    """Tells an arrangement of changes, and stores them then; what comes out is in words.

    Entries have numbers; their DNs are given without the base.
    """

    def __init__(self, phase: Phase = Phase.REFRESH) -> None:
        self.phase = phase
        self.store = MemoryStore()
        self.store.create()
        self.store.begin()
        self.arrangement = Arrangement(self.store, open_state(self.store), dn.key(BASE))

    def tell(self, number: int, name: str | None, version: int = 0) -> list[str]:
        """Say that an entry is there, under that name, or nowhere: None."""
        uuid = number.to_bytes(16, "big")
        old = self.store.get(uuid)
        old_attrs = None if old is None else attributes.decode(old.attrs)
        new_dn = None if name is None else f"{name},{BASE}" if name else BASE
        new_attrs: Attributes | None = None if name is None else {"v": [b"%d" % version]}
        if old is None:
            kind = ChangeKind.ADD
        elif new_dn is None:
            kind = ChangeKind.DELETE
        else:
            kind = ChangeKind.MODIFY if old.dn == new_dn else ChangeKind.RENAME
        change = Change(
            kind, UUID(int=number), self.phase, old and old.dn, new_dn, old_attrs, new_attrs
        )
        words = [_in_words(each) for each in self.arrangement.receive(change)]
        if new_dn is None or new_attrs is None:
            self.store.remove(uuid)
        else:
            self.store.put(Record(uuid, dn.key(new_dn), new_dn, attributes.encode(new_attrs)))
        return words

    def tell_all(self, *changes: tuple[int, str | None]) -> list[str]:
        """Say several things, then that this is all."""
        words = [word for number, name in changes for word in self.tell(number, name)]
        return words + self.settle()

    def settle(self) -> list[str]:
        return [_in_words(each) for each in self.arrangement.finish()]

    def release(self) -> list[str]:
        return [_in_words(each) for each in self.arrangement.release()]


def _in_words(change: Change) -> str:
    def short(name: str | None) -> Iterator[str]:
        if name is not None:
            yield "base" if name == BASE else name.removesuffix(f",{BASE}")

    assert (change.old_dn is None) is (change.old_attrs is None)
    assert (change.new_dn is None) is (change.new_attrs is None)
    names = " -> ".join(dict.fromkeys([*short(change.old_dn), *short(change.new_dn)]))
    version = "" if not change.new_attrs else change.new_attrs["v"][0].decode()
    return f"{change.kind.value} {names}" + (f" v{version}" if version not in ("", "0") else "")


@pytest.fixture
def told() -> Told:
    """The base is there, and ou=a with cn=c in it."""
    told = Told()
    assert told.tell_all((0, ""), (1, "ou=a"), (2, "cn=c,ou=a")) == [
        "add base",
        "add ou=a",
        "add cn=c,ou=a",
    ]
    return told


def test_parents_come_first() -> None:
    told = Told()
    assert told.tell_all((4, "cn=d,ou=b"), (3, "cn=c,ou=a,ou=b"), (2, "ou=a,ou=b")) == []
    assert told.tell_all((1, "ou=b")) == []
    assert told.tell_all((0, "")) == [
        "add base",
        "add ou=b",
        "add cn=d,ou=b",
        "add ou=a,ou=b",
        "add cn=c,ou=a,ou=b",
    ]
    assert told.release() == []


def test_only_what_has_its_parent_then(told: Told) -> None:
    assert told.tell_all((3, "cn=1,ou=b"), (4, "cn=2,ou=in,ou=b")) == []
    assert told.tell_all((5, "ou=b")) == ["add ou=b", "add cn=1,ou=b"]
    assert told.tell_all((6, "ou=in,ou=b")) == ["add ou=in,ou=b", "add cn=2,ou=in,ou=b"]


def test_what_happens_meanwhile_is_not_written(told: Told) -> None:
    assert told.tell_all((3, "cn=1,ou=b"), (4, "cn=2,ou=b"), (5, "cn=3,ou=b")) == []
    assert told.tell(3, "cn=1,ou=b", version=7) == []
    assert told.tell(4, None) == []
    assert told.tell(5, "cn=4,ou=c") == []
    assert told.tell_all((6, "ou=b")) == ["add ou=b", "add cn=1,ou=b v7"]
    assert told.tell_all((7, "ou=c")) == ["add ou=c", "add cn=4,ou=c"]


def test_what_waits_finds_another_place(told: Told) -> None:
    assert told.tell_all((3, "ou=in,ou=b"), (4, "cn=1,ou=in,ou=b")) == []
    assert told.tell_all((3, "ou=in"), (4, "cn=1,ou=in")) == ["add ou=in", "add cn=1,ou=in"]


def test_moved_to_what_is_not_there_yet(told: Told) -> None:
    told.tell_all((3, "cn=d,cn=c,ou=a"))
    assert told.tell_all((1, "ou=a,ou=b"), (2, "cn=c,ou=a,ou=b"), (3, "cn=d,cn=c,ou=a,ou=b")) == [
        "delete cn=d,cn=c,ou=a",
        "delete cn=c,ou=a",
        "delete ou=a",
    ]
    assert told.tell_all((4, "ou=b")) == [
        "add ou=b",
        "add ou=a,ou=b",
        "add cn=c,ou=a,ou=b",
        "add cn=d,cn=c,ou=a,ou=b",
    ]


# --- the parent comes before the next commit


def test_moved_to_what_comes_soon(told: Told) -> None:
    words = told.tell_all((1, "ou=a,ou=b"), (2, "cn=c,ou=a,ou=b"), (3, "ou=b"))
    assert words == ["add ou=b", "rename ou=a -> ou=a,ou=b"]
    assert told.tell(2, "cn=c,ou=a,ou=b", version=1) == ["modify cn=c,ou=a,ou=b v1"]


def test_moved_and_modified(told: Told) -> None:
    assert told.tell(2, "cn=d,ou=b", version=1) == []
    assert told.tell_all((3, "ou=b")) == ["add ou=b", "rename cn=c,ou=a -> cn=d,ou=b v1"]


def test_moved_one_below_the_other(told: Told) -> None:
    told.tell_all((3, "cn=d"))
    assert told.tell_all((3, "cn=d,ou=in,ou=b"), (1, "ou=in,ou=b"), (2, "cn=c,ou=in,ou=b")) == [
        "delete cn=d",
        "delete cn=c,ou=a",
        "delete ou=a",
    ]
    assert told.tell_all((2, None), (4, "ou=b")) == [
        "add ou=b",
        "add ou=in,ou=b",
        "add cn=d,ou=in,ou=b",
    ]
    told.tell_all((6, "cn=f"))
    assert told.tell_all(
        (6, "cn=f,ou=in,ou=e"), (1, "ou=in,ou=e"), (3, "cn=d,ou=in,ou=e"), (5, "ou=e")
    ) == [
        "add ou=e",
        "rename ou=in,ou=b -> ou=in,ou=e",
        "rename cn=f -> cn=f,ou=in,ou=e",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((3, "ou=a"), ["add ou=a"]),
        ((3, "cn=d,ou=a"), []),
        ((2, None), []),
        ((1, "ou=e"), ["add ou=e"]),
        ((0, None), ["delete base"]),
    ],
)
def test_something_comes_between(
    change: tuple[int, str | None], words: list[str], told: Told
) -> None:
    assert told.tell(1, "ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b") == []
    assert told.tell(*change) == ["delete cn=c,ou=a", "delete ou=a", *words]


def test_it_is_modified_meanwhile(told: Told) -> None:
    assert told.tell(1, "ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b", version=1) == []
    assert told.tell(1, "ou=a,OU=B", version=1) == []
    assert told.tell_all((3, "ou=b")) == [
        "add ou=b",
        "rename ou=a -> ou=a,ou=b",
        "modify cn=c,ou=a,ou=b v1",
        "rename ou=a,ou=b -> ou=a,OU=B v1",
    ]


def test_it_moves_on(told: Told) -> None:
    assert told.tell(2, "cn=c,ou=b") == []
    assert told.tell(2, "cn=c,ou=e") == ["delete cn=c,ou=a"]
    assert told.tell_all((3, "ou=e")) == ["add ou=e", "add cn=c,ou=e"]


def test_the_parent_that_it_leaves_goes(told: Told) -> None:
    assert told.tell(2, "cn=c,ou=b") == []
    assert told.tell(1, None) == ["delete cn=c,ou=a", "delete ou=a"]
    assert told.tell_all((3, "ou=b")) == ["add ou=b", "add cn=c,ou=b"]


def test_what_stays_there_goes_elsewhere(told: Told) -> None:
    assert [*told.tell(1, "ou=a,ou=b"), *told.tell(2, "cn=c,ou=e")] == []
    words = told.tell_all((3, "ou=b"))
    assert words == ["add ou=b", "delete cn=c,ou=a", "rename ou=a -> ou=a,ou=b"]
    assert told.tell_all((4, "ou=e")) == ["add ou=e", "add cn=c,ou=e"]


def test_what_stays_there_and_its_place_is_needed(told: Told) -> None:
    assert [*told.tell(1, "ou=a,ou=b"), *told.tell(2, "cn=c,ou=e")] == []
    assert told.tell(3, "ou=a") == ["delete cn=c,ou=a", "delete ou=a", "add ou=a"]
    assert told.tell_all((4, "ou=e")) == ["add ou=e", "add cn=c,ou=e"]


def test_what_waits_below_it_does_not_matter(told: Told) -> None:
    assert told.tell(1, "ou=a,ou=b") == []
    assert [*told.tell(5, "cn=1,ou=a,ou=b"), *told.tell(6, "cn=2,ou=a,ou=b")] == []
    assert [*told.tell(5, None), *told.tell(6, "cn=2,ou=a,ou=b", version=1)] == []
    words = told.tell_all((2, "cn=c,ou=a,ou=b"), (3, "ou=b"))
    assert words[1] == "rename ou=a -> ou=a,ou=b"
    assert words[-1] == "add cn=2,ou=a,ou=b v1"


def test_only_so_many_renames(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "POSTPONED", 1)
    told.tell_all((3, "cn=d"))
    assert told.tell(1, "ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b") == []  # that counts only where it is modified as well
    assert told.tell(3, "cn=d,ou=b") == ["delete cn=d"]
    assert told.tell_all((4, "ou=b")) == [
        "add ou=b",
        "add cn=d,ou=b",
        "rename ou=a -> ou=a,ou=b",
    ]


def test_only_so_many_that_follow(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "POSTPONED", 1)
    assert told.tell(1, "ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b", version=1) == ["delete cn=c,ou=a"]
    assert told.tell_all((3, "ou=b")) == [
        "add ou=b",
        "rename ou=a -> ou=a,ou=b",
        "add cn=c,ou=a,ou=b v1",
    ]


def test_what_follows_may_be_modified(told: Told) -> None:
    assert told.tell(1, "ou=a,ou=b") == []
    assert told.tell(2, "cn=c,ou=a,ou=b", version=1) == []
    words = told.tell_all((3, "ou=b"))
    assert words == ["add ou=b", "rename ou=a -> ou=a,ou=b", "rename cn=c,ou=a,ou=b v1"]


# --- what a rename takes along, and what is in the way


def test_a_rename_takes_along_what_is_below(told: Told) -> None:
    words = told.tell_all((1, "ou=b"), (2, "cn=c,ou=b"))
    assert words == ["rename ou=a -> ou=b", "rename cn=c,ou=b"]
    assert told.tell(2, None) == ["delete cn=c,ou=b"]


def test_something_waits_where_a_rename_leads(told: Told) -> None:
    assert told.tell_all((3, "cn=d,ou=b")) == []
    assert told.tell_all((1, "ou=b"), (2, "cn=c,ou=b")) == [
        "rename ou=a -> ou=b",
        "rename cn=c,ou=b",
        "add cn=d,ou=b",
    ]


def test_a_rename_takes_along_what_is_to_stay(told: Told) -> None:
    """Another ou=a will come, and cn=c is in that one."""
    assert told.tell_all((1, "ou=b")) == ["rename ou=a -> ou=b", "delete cn=c,ou=b"]
    assert told.tell_all((3, "ou=a")) == ["add ou=a", "add cn=c,ou=a"]


def test_a_parent_goes_and_another_one_comes(told: Told) -> None:
    assert told.tell_all((1, None), (3, "ou=a")) == [
        "delete cn=c,ou=a",
        "delete ou=a",
        "add ou=a",
        "add cn=c,ou=a",
    ]


def test_a_parent_that_never_comes(told: Told) -> None:
    assert told.tell_all((3, "cn=1,ou=in,ou=b"), (4, "ou=in,ou=b")) == []
    assert told.release() == ["add ou=in,ou=b", "add cn=1,ou=in,ou=b"]
    assert told.release() == []


def test_another_spelling_moves_nothing(told: Told) -> None:
    words = told.tell_all((1, "OU=A"), (2, "cn=c,OU=A"))
    assert words == ["rename ou=a -> OU=A", "rename cn=c,OU=A"]


def test_modifications_and_references(told: Told) -> None:
    assert told.tell(2, "cn=c,ou=a", version=1) == ["modify cn=c,ou=a v1"]
    reference = Change(
        ChangeKind.REFERENCE, UUID(int=9), Phase.REFRESH, None, None, None, {"ref": [b"ldap://a/"]}
    )
    assert list(told.arrangement.receive(reference)) == []


def test_the_persist_stage_is_in_order(told: Told) -> None:
    """A parent that is not there then is not in the result; nothing waits for it."""
    told.arrangement.forget()
    told.phase = Phase.PERSIST
    assert told.tell_all((3, "cn=1,ou=b")) == ["add cn=1,ou=b"]
    assert told.tell_all((3, "cn=1,ou=d")) == ["rename cn=1,ou=b -> cn=1,ou=d"]
    assert told.tell_all((1, None)) == ["delete ou=a"]
    assert told.tell_all((2, "cn=c,ou=e")) == ["rename cn=c,ou=a -> cn=c,ou=e"]


def test_what_is_not_below_the_base_waits_for_nothing(told: Told) -> None:
    change = Change(ChangeKind.ADD, UUID(int=9), Phase.REFRESH, None, "cn=1,o=y", None, {})
    assert list(told.arrangement.receive(change)) == [change]


def test_a_rollback_is_forgotten(told: Told) -> None:
    assert told.tell(1, "ou=b") == ["rename ou=a -> ou=b"]
    told.store.put(Record(bytes(15) + b"\1", dn.key("ou=a,o=x"), "ou=a,o=x", b""))
    told.arrangement.forget()
    assert told.settle() == []


def test_what_is_below_a_parent_that_is_never_seen_is_renamed_there() -> None:
    told = Told()
    assert told.tell_all((0, ""), (1, "cn=a,ou=unseen")) == ["add base"]
    assert told.release() == ["add cn=a,ou=unseen"]
    assert told.tell_all((1, "cn=b,ou=unseen")) == ["rename cn=a,ou=unseen -> cn=b,ou=unseen"]
    assert told.tell_all((1, "cn=b,ou=other")) == ["delete cn=b,ou=unseen"]
    assert told.release() == ["add cn=b,ou=other"]
