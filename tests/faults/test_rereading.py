# SPDX-License-Identifier: BSD-3-Clause
"""What 389-ds tells in its persist stage is read again: what then may be told, and what not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.engine import rereading
from syncrepl_client.network import transport
from syncrepl_client.protocol.cookie import change_number
from tests.faults.recorder import Recorder, contents, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers.scripted import (
    ADD,
    DELETE,
    MODIFY,
    Item,
    Message,
    Pause,
    Provider,
    bare_entry,
    dn,
    done,
    entry,
    person,
    refresh_delete,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")


def numbered(number: int) -> bytes:
    return b"h:389##%d" % number


def number(client: Syncrepl) -> int | None:
    return change_number(client.store.origin.cookie)


def at(name: str, value: int, mark: str, cookie: int, state: int = MODIFY) -> Message:
    """The entry *value*, told to be called *name*."""
    return entry(name, {"description": [mark]}, state, uuid(value), numbered(cookie))


class Scene:
    """A 389-ds whose refresh names 1 and 2; what then is told comes when the client is ready."""

    def __init__(
        self,
        path: Path,
        *items: Item,
        then: Sequence[Item] = (),
        trust_persist: bool = False,
        **more: Any,
    ) -> None:
        self.pause = Pause()
        self.recorder = Recorder()
        self.hides: set[str] = set()
        refresh: list[Item] = [person(1), person(2), refresh_delete(numbered(1)), self.pause]
        settings = {"kind": "389", "hides": self.hides, **more}
        self.provider = Provider([*refresh, *items], then, **settings)
        self.path = path
        self.trust = trust_persist

    def __enter__(self) -> Scene:
        self.provider.__enter__()
        self.client = follow(self.provider, self.path, self.recorder, trust_persist=self.trust)
        poll_until(self.client, self.recorder, "refresh_done")
        self.recorder.clear()
        return self

    def play(self, last: int) -> list[Any]:
        """Go on until the store has that number; return the changes."""
        self.pause.go_on()
        while number(self.client) != last:
            assert self.client.poll(10)
        assert contents(self.client) == self.recorder.mirror
        return self.recorder.changes

    def play_groups(self, pauses: Sequence[Pause], sizes: Sequence[int]) -> None:
        """Go on, and poll when a whole group has arrived, until the client searches again."""
        self.pause.go_on()
        for pause, size in zip(pauses, itertools.accumulate(sizes)):
            assert pause.reached.wait(HANGS_SECONDS)
            while (number(self.client) or 0) <= size:
                assert self.client.poll(10)
            if self.recorder.of("refresh_done"):
                return
            pause.go_on()

    def __exit__(self, *error: Any) -> None:
        self.client.unbind()
        self.provider.__exit__(None, None, None)


def test_what_is_not_shown_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    told = [person(7, "secret", ADD, numbered(2)), person(7, "more", MODIFY, numbered(3))]
    told += [person(8, "secret", ADD, numbered(4)), person(1, "new", MODIFY, numbered(5))]
    with Scene(tmp_path, *told, person(7, state=DELETE, cookie=numbered(6))) as scene:
        scene.hides |= {dn(7), dn(8)}
        assert scene.play(6) == [("change", dn(1))]
        assert contents(scene.client)[dn(1)]["description"] == [b"new"]
        assert len(scene.provider.searches) == 1
    said = [each for each in caplog.records if getattr(each, "event", "") == "not-taken"]
    assert len(said) == 1
    assert dn(7) not in caplog.text  # nor in a log


def test_what_is_told_is_what_was_read(tmp_path: Path) -> None:
    """Not what was sent; and nobody who did not ask for the nsUniqueId hears of it."""
    with Scene(tmp_path, person(1, "sent", MODIFY, numbered(2))) as scene:
        shown = {"description": ["shown"], "nsUniqueId": [uuid(1).hex()]}
        scene.provider.settings.entries = {dn(1): bare_entry(dn(1), shown)}
        assert scene.play(2) == [("change", dn(1))]
        assert contents(scene.client)[dn(1)] == {"description": [b"shown"]}


@pytest.mark.parametrize("trust", [True, False])
def test_trust_persist(trust: bool, tmp_path: Path) -> None:
    told = [person(3, "sent", ADD, numbered(2)), person(4, "sent", ADD, numbered(3))]
    with Scene(tmp_path, *told, trust_persist=trust) as scene:
        scene.hides |= {dn(3)}
        assert scene.play(3) == [*([("add", dn(3))] if trust else []), ("add", dn(4))]


def test_other_servers_are_not_asked_again(tmp_path: Path) -> None:
    csn = b"rid=000,csn=20261128120000.00000%d#000000#001#000000"
    script = [person(1), refresh_delete(csn % 1), person(2, "sent", ADD, csn % 2)]
    recorder = Recorder()
    with Provider(script) as provider, follow(provider, tmp_path, recorder) as client:
        provider.settings.hides = {dn(2)}
        poll_until(client, recorder, "add", 2)


# --- the entry is not where it was told to be


def test_it_was_renamed_meanwhile(tmp_path: Path) -> None:
    other = "uid=other,dc=example,dc=com"
    told = [person(1, "new", MODIFY, numbered(2)), at(other, 1, "newer", 3)]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(1)}
        assert scene.play(3) == [("change", dn(1)), ("rename", dn(1), other)]
        assert contents(scene.client)[other] == {"description": [b"newer"]}
        assert len(scene.provider.searches) == 1


def test_it_was_renamed_and_its_message_comes_late(tmp_path: Path) -> None:
    other, pause = "uid=other,dc=example,dc=com", Pause()
    told: list[Item] = [person(1, "new", MODIFY, numbered(2)), pause, at(other, 1, "newer", 3)]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(1)}
        scene.pause.go_on()
        pause.reached.wait()
        assert scene.client.poll(0)
        assert scene.client.poll(0.05)
        assert scene.recorder.changes == []
        pause.go_on()
        assert scene.play(3)[-1] == ("rename", dn(1), other)
        assert len(scene.provider.searches) == 1


def test_it_was_deleted_meanwhile(tmp_path: Path) -> None:
    told = [person(1, "new", MODIFY, numbered(2)), person(1, state=DELETE, cookie=numbered(3))]
    told += [person(3, "new", ADD, numbered(4)), person(3, state=DELETE, cookie=numbered(5))]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(1), dn(3)}
        assert scene.play(5) == [("delete", dn(1))]
        assert len(scene.provider.searches) == 1


def test_its_name_is_another_ones_by_now(tmp_path: Path) -> None:
    """The names of 1 and 2 are swapped, by way of a third, before the first read arrives."""
    third = "uid=third,dc=example,dc=com"
    told = [person(1, "x", MODIFY, numbered(2)), at(third, 1, "one", 3)]
    told += [at(dn(1), 2, "two", 4), at(dn(2), 1, "one", 5)]
    with Scene(tmp_path, *told) as scene:
        names = {"one": uuid(1).hex(), "two": uuid(2).hex()}
        scene.provider.settings.entries = {
            where: bare_entry(where, {"description": [mark], "nsUniqueId": [names[mark]]})
            for where, mark in ((dn(1), "two"), (dn(2), "one"))
        }
        changes = scene.play(5)
        assert [each for each in changes if each[0] != "change"] == [
            ("rename", dn(1), third),
            ("rename", dn(2), dn(1)),
            ("rename", third, dn(2)),
        ]
        assert contents(scene.client) == {
            dn(1): {"description": [b"two"]},
            dn(2): {"description": [b"one"]},
        }


def test_a_known_entry_that_goes_out_of_sight(tmp_path: Path) -> None:
    """Only a search without a cookie may take it away."""
    again = [person(2), refresh_delete(numbered(2))]
    with Scene(tmp_path, person(1, "new", MODIFY, numbered(2)), then=again) as scene:
        scene.hides |= {dn(1)}
        scene.pause.go_on()
        poll_until(scene.client, scene.recorder, "refresh_done")
        assert scene.recorder.changes == [("delete", dn(1))]
        assert [search.cookie for search in scene.provider.searches] == [None, None]


def test_a_known_entry_that_a_search_finds_after_all(tmp_path: Path) -> None:
    again = [person(1, "new"), person(2), refresh_delete(numbered(2))]
    with Scene(tmp_path, person(1, "new", MODIFY, numbered(2)), then=again) as scene:
        scene.hides |= {dn(1)}
        scene.pause.go_on()
        poll_until(scene.client, scene.recorder, "refresh_done")
        assert scene.recorder.changes == [("change", dn(1))]


def test_no_doubt_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed while an entry is looked for hears of it again."""
    monkeypatch.setattr(rereading, "HOLD_SECONDS", 600.0)
    told = [person(1, "new", MODIFY, numbered(2)), person(2, "new", MODIFY, numbered(3))]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(1)}
        scene.pause.go_on()
        for _ in range(10):
            assert scene.client.poll(0.05)
        scene.client.please_stop()
        assert not scene.client.poll()
        assert number(scene.client) == 1
        assert scene.recorder.changes == []


def below(parent: str, cookie: int) -> Message:
    return at(f"cn=child,{parent}", 9, "child", cookie, ADD)


def test_an_entry_below_one_that_was_renamed_meanwhile(tmp_path: Path) -> None:
    """The rename names the parent alone, so what was added below it must be asked for."""
    renamed = "uid=renamed,dc=example,dc=com"
    told = [below(dn(1), 2), at(renamed, 1, "first", 3)]
    again = [at(renamed, 1, "first", 3), person(2), below(renamed, 3), refresh_delete(numbered(3))]
    with Scene(tmp_path, *told, then=again) as scene:
        scene.hides |= {f"cn=child,{dn(1)}", dn(1)}
        scene.pause.go_on()
        poll_until(scene.client, scene.recorder, "refresh_done")
        assert contents(scene.client) == scene.recorder.mirror
        assert contents(scene.client).keys() == {dn(2), renamed, f"cn=child,{renamed}"}
        assert scene.recorder.of("delete") == []


def in_groups(told: Sequence[Message], sizes: Sequence[int]) -> tuple[list[Item], list[Pause]]:
    """The messages in groups of so many, each of which is read again as one; pauses end them."""
    items, pauses = list[Item](told), [Pause() for _ in sizes]
    for end, pause in reversed(list(zip(itertools.accumulate(sizes), pauses))):
        items.insert(end, pause)
    return items, pauses


GROUPS = pytest.mark.parametrize("sizes", [(3,), (1, 1, 1), (1, 2), (2, 1)], ids=str)


@GROUPS
def test_an_entry_below_a_new_one_that_was_renamed_meanwhile(
    sizes: tuple[int, ...], tmp_path: Path
) -> None:
    """389-ds does not say that there is nothing by the old names: both might be hidden."""
    renamed = "uid=renamed,dc=example,dc=com"
    told = [person(5, "new", ADD, numbered(2)), below(dn(5), 3), at(renamed, 5, "new", 4)]
    again = [person(1), person(2), at(renamed, 5, "new", 4), below(renamed, 4)]
    items, pauses = in_groups(told, sizes)
    with Scene(tmp_path, *items, then=[*again, refresh_delete(numbered(4))]) as scene:
        scene.hides |= {f"cn=child,{dn(5)}", dn(5)}
        scene.play_groups(pauses, sizes)
        assert contents(scene.client) == scene.recorder.mirror
        assert contents(scene.client).keys() == {dn(1), dn(2), renamed, f"cn=child,{renamed}"}
        assert [search.cookie for search in scene.provider.searches] == [None, None]


def test_below_a_new_one_that_was_renamed_twice_meanwhile(tmp_path: Path) -> None:
    between, renamed = "uid=between,dc=example,dc=com", "uid=renamed,dc=example,dc=com"
    told = [person(5, "new", ADD, numbered(2)), below(dn(5), 3)]
    told += [at(between, 5, "new", 4), at(renamed, 5, "new", 5)]
    again = [person(1), person(2), at(renamed, 5, "new", 5), below(renamed, 5)]
    sizes = [1, 1, 1, 1]
    items, pauses = in_groups(told, sizes)
    with Scene(tmp_path, *items, then=[*again, refresh_delete(numbered(5))]) as scene:
        scene.hides |= {dn(5), f"cn=child,{dn(5)}", between}
        scene.play_groups(pauses, sizes)
        assert contents(scene.client) == scene.recorder.mirror
        assert contents(scene.client).keys() == {dn(1), dn(2), renamed, f"cn=child,{renamed}"}


@pytest.mark.parametrize("most", [1, 2])
def test_not_all_that_is_not_found_is_remembered(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten first: a new entry, and one below it, are two."""
    monkeypatch.setattr(rereading, "MOST_REMEMBERED", most)
    renamed = "uid=renamed,dc=example,dc=com"
    told = [person(5, "new", ADD, numbered(2)), below(dn(5), 3), at(renamed, 5, "new", 4)]
    again = [person(1), person(2), at(renamed, 5, "new", 4), refresh_delete(numbered(4))]
    sizes = [1, 1, 1]
    items, pauses = in_groups(told, sizes)
    with Scene(tmp_path, *items, then=again) as scene:
        scene.hides |= {f"cn=child,{dn(5)}", dn(5)}
        scene.play_groups(pauses, sizes)
        assert len(scene.provider.searches) == most


def test_a_hidden_tree_is_not_searched_for(tmp_path: Path) -> None:
    """An entry that stays hidden, with what is below it, is no reason to search again."""
    other = "uid=other,dc=example,dc=com"
    told = [person(5, "new", ADD, numbered(2)), below(dn(5), 3), at(other, 5, "new", 4)]
    told += [below(other, 5), person(1, "new", MODIFY, numbered(6))]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(5), f"cn=child,{dn(5)}", other, f"cn=child,{other}"}
        assert scene.play(6) == [("change", dn(1))]
        assert len(scene.provider.searches) == 1


def test_a_hidden_entry_below_one_that_is_shown(tmp_path: Path) -> None:
    told = [below(dn(1), 2), person(2, "new", MODIFY, numbered(3))]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {f"cn=child,{dn(1)}"}
        assert scene.play(3) == [("change", dn(2))]
        assert len(scene.provider.searches) == 1


def test_more_messages_than_are_read_at_once(tmp_path: Path) -> None:
    many = range(3, 3 + 3 * rereading.GROUP_MESSAGES)
    told = [person(1, "new", MODIFY, numbered(2))]
    told += [person(each, "new", ADD, numbered(each)) for each in many]
    told += [person(1, state=DELETE, cookie=numbered(many[-1] + 1))]
    with Scene(tmp_path, *told) as scene:
        scene.hides |= {dn(1)}
        changes = scene.play(many[-1] + 1)
        assert changes == [*(("add", dn(each)) for each in many), ("delete", dn(1))]
        assert len(scene.provider.searches) == 1


def test_messages_are_not_held_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "HOLD_SECONDS", 600.0)
    monkeypatch.setattr(rereading, "MOST_HELD", 50)
    told = [person(1, "new", MODIFY, numbered(2))]
    told += [person(each, "new", ADD, numbered(each)) for each in range(3, 103)]
    again = [person(2), refresh_delete(numbered(102))]
    with Scene(tmp_path, *told, then=again) as scene:
        scene.hides |= {dn(1)}
        scene.pause.go_on()
        poll_until(scene.client, scene.recorder, "refresh_done")
        assert ("delete", dn(1)) in scene.recorder.changes


# --- who may not read the nsUniqueId


def unnamed(where: str, attrs: Mapping[str, list[str]]) -> Message:
    return bare_entry(where, attrs)


@pytest.mark.parametrize("found", [1, 2])
def test_the_control_says_which_entry_it_is(found: int, tmp_path: Path) -> None:
    cookie = numbered(2)
    read = [entry(dn(1), {"description": ["shown"]}, ADD, uuid(found)), done(cookie=cookie)]
    told = [person(1, "sent", MODIFY, numbered(2)), person(1, state=DELETE, cookie=numbered(3))]
    with Scene(tmp_path, *told, then=read) as scene:
        shown = {"description": ["shown"]}
        scene.provider.settings.entries = {dn(1): unnamed(dn(1), shown)}
        changes = scene.play(3)
        again = scene.provider.searches[1]
        assert (again.base, again.scope, again.mode, again.cookie) == (dn(1), 0, 1, None)
    assert changes == [*([("change", dn(1))] if found == 1 else []), ("delete", dn(1))]


# --- reads that fail


def test_a_read_that_is_not_answered(tmp_path: Path) -> None:
    """No poll() takes longer for it, and a stop is heard."""
    with Scene(tmp_path, person(1, "new", MODIFY, numbered(2)), ignores=[dn(1)]) as scene:
        scene.pause.go_on()
        while "read that is ignored" not in scene.provider.heard:
            assert scene.client.poll(0.05)
        for _ in range(3):
            assert scene.client.poll(0)
        assert scene.recorder.changes == []
        scene.client.please_stop()
        assert not scene.client.poll()
        assert number(scene.client) == 1


def test_a_read_that_is_answered_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene(tmp_path, person(1, "new", MODIFY, numbered(2)), ignores=[dn(1)]) as scene:
        monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.1)
        scene.pause.go_on()
        with pytest.raises(ldap.TIMEOUT, match="did not answer the reading of"):
            scene.client.run()
        assert contents(scene.client) == {dn(1): FIRST, dn(2): {**FIRST, "uid": [b"u2"]}}


FIRST = {"uid": [b"u1"], "description": [b"first"]}
