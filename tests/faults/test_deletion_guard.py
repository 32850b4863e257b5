# SPDX-License-Identifier: BSD-3-Clause
"""The deletion guard: a refresh that would delete too much deletes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Backoff, Syncrepl, exceptions
from syncrepl_client.engine import search
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.test_reconciling import cookies
from tests.faults.test_stopping import fill
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import (
    REFRESH_REQUIRED,
    Close,
    Item,
    Pause,
    Provider,
    done,
    entry,
    idset,
    refresh_delete,
    refresh_present,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")

COUNT = 100
u, dn = scripted.person, scripted.dn
MODES = pytest.mark.parametrize("mode", [PERSIST, REFRESH_ONLY])
Answer = list[list[Item]]


def uuids(first: int, last: int) -> list[bytes]:
    return [uuid(number) for number in range(first, last + 1)]


def gone(last: int) -> Answer:
    """A delete phase."""
    return [[idset(uuids(1, last), deletes=True), refresh_delete(b"c2"), Pause()]]


def unnamed(last: int) -> Answer:
    """A present phase."""
    return [[idset(uuids(last + 1, COUNT)), refresh_present(b"c2"), Pause()]]


def required(last: int) -> Answer:
    """A server that wants a search without a cookie, and answers that."""
    people = [u(number) for number in range(last + 1, COUNT + 1)]
    return [
        [done(REFRESH_REQUIRED, sync_done=False)],
        [*people, refresh_delete(b"c2"), Pause()],
    ]


ANSWERS = pytest.mark.parametrize("answer", [gone, unnamed, required])


def attempt(client: Syncrepl) -> exceptions.TooManyDeletes:
    with pytest.raises(exceptions.TooManyDeletes) as raised:
        client.run()
    return raised.value


def check_untouched(client: Syncrepl, recorder: Recorder, *cookie: bytes | None) -> None:
    assert recorder.of("delete", "refresh_done", "cookie") == []
    assert len(contents(client)) == COUNT
    assert client.store.origin.cookie in cookie


@MODES
@ANSWERS
@pytest.mark.parametrize("limit", [0.5, 50, 0, 0.0])
def test_too_many(limit: float, answer: Callable[[int], Answer], mode: Any, tmp_path: Path) -> None:
    fill(tmp_path, COUNT)
    recorder, scripts = Recorder(), answer(51)
    again = [scripts[-1]] * 2
    options: dict[str, Any] = {"max_deletes": limit, "reconnect": Backoff(initial=0)}
    with (
        Provider(*scripts, *again) as provider,
        follow(provider, tmp_path, recorder, mode, **options) as client,
    ):
        recorder.mirror = contents(client)
        for _ in range(2):  # the next poll searches again
            error = attempt(client)
            assert (error.deletes, error.entries) == (51, COUNT)
            check_untouched(client, recorder, None if answer is required else b"c1")
        client.allow_deletes()
        poll_until(client, recorder, "cookie") if mode is PERSIST else client.run()
        assert len(contents(client)) == COUNT - 51
        assert contents(client) == recorder.mirror


@ANSWERS
@pytest.mark.parametrize(("limit", "deletes"), [(0.5, 50), (51, 51), (1.0, 100), (None, 100)])
def test_not_too_many(
    limit: float | None, deletes: int, answer: Callable[[int], Answer], tmp_path: Path
) -> None:
    fill(tmp_path, COUNT)
    recorder = Recorder()
    with (
        Provider(*answer(deletes)) as provider,
        follow(provider, tmp_path, recorder, REFRESH_ONLY, max_deletes=limit) as client,
    ):
        recorder.mirror = contents(client)
        client.run()
        assert len(recorder.of("delete")) == deletes


def test_an_empty_answer(tmp_path: Path) -> None:
    """OpenLDAP says like this that nobody is left."""
    fill(tmp_path, COUNT)
    recorder = Recorder()
    script: list[Item] = [refresh_present(b"c2"), Pause()]
    with Provider(script, script) as provider:
        with follow(provider, tmp_path, recorder, max_deletes=0.5) as client:
            recorder.mirror = contents(client)
            assert attempt(client).deletes == COUNT
            check_untouched(client, recorder, b"c1")
        with follow(provider, tmp_path, recorder, max_deletes=None) as client:
            poll_until(client, recorder, "refresh_done")
            assert contents(client) == recorder.mirror == {}


def test_a_reconcile(tmp_path: Path) -> None:
    fill(tmp_path, COUNT)
    recorder = Recorder()
    empty: list[Item] = [refresh_delete(b"c2"), Pause()]
    with (
        Provider([refresh_delete(), Pause()], empty, empty) as provider,
        follow(provider, tmp_path, recorder, max_deletes=0.5) as client,
    ):
        recorder.mirror = contents(client)
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        client.reconcile()
        for _ in range(2):
            attempt(client)
            check_untouched(client, recorder, b"c1")
        assert cookies(provider) == [b"c1", None, None]


def test_a_small_store_has_no_part_but_a_number(tmp_path: Path) -> None:
    fill(tmp_path, COUNT - 1)
    script: list[Item] = [refresh_present(b"c2"), Pause()]
    with Provider(script, script) as provider:
        recorder = Recorder()
        with follow(provider, tmp_path, recorder, max_deletes=98) as client:
            attempt(client)
        with follow(provider, tmp_path, recorder, max_deletes=0.0) as client:
            recorder.mirror = contents(client)
            poll_until(client, recorder, "refresh_done")
            assert contents(client) == {}


@MODES
def test_to_allow_deletes_before_the_first_poll(mode: Any, tmp_path: Path) -> None:
    """The constructor has begun the refresh; it is that one, and no other after it."""
    fill(tmp_path, COUNT)
    recorder = Recorder()
    people = [u(number) for number in range(1, COUNT + 1)]
    with (
        Provider(
            [refresh_present(b"c2"), Pause()],
            [*people, refresh_delete(b"c3"), Pause()],
            [refresh_delete(b"c4"), Pause()],
        ) as provider,
        follow(provider, tmp_path, recorder, mode, max_deletes=0.5) as client,
    ):
        client.allow_deletes()
        recorder.mirror = contents(client)
        poll_until(client, recorder, "refresh_done") if mode is PERSIST else client.run()
        client.reconcile()
        poll_until(client, recorder, "refresh_done", 2) if mode is PERSIST else client.run()
        recorder.clear()
        client.reconcile()
        attempt(client)
        check_untouched(client, recorder, b"c3")


def swapped() -> list[Item]:
    """Each person has the name of another one now: half of them are in the way for a while."""
    return [
        entry(dn(COUNT + 1 - number), {"uid": [f"u{number}"]}, identity=uuid(number))
        for number in range(1, COUNT + 1)
    ]


def test_swaps_are_counted(tmp_path: Path) -> None:
    """Whoever is in the way is reported deleted, and added when the new name is known."""
    fill(tmp_path, COUNT)
    recorder = Recorder()
    script = [*swapped(), refresh_delete(b"c2"), Pause()]
    with (
        Provider(script, script) as provider,
        follow(provider, tmp_path, recorder, max_deletes=COUNT // 2 - 1) as client,
    ):
        recorder.mirror = contents(client)
        assert attempt(client).deletes == COUNT // 2
        client.allow_deletes()
        recorder.mirror = contents(client)
        poll_until(client, recorder, "refresh_done")
        assert contents(client) == recorder.mirror
        assert len(recorder.mirror) == COUNT
        assert client.store.origin.tally is None


# --- what was loaded anew: the same people, with other UUIDs


def reloaded(first: int = 1, last: int = COUNT, name: Callable[[int], str] = dn) -> list[Item]:
    return [
        entry(name(number), {"uid": [f"u{number}"]}, identity=uuid(1000 + number))
        for number in range(first, last + 1)
    ]


@MODES
@pytest.mark.parametrize(("limit", "most"), [(0, 0), (0.0, 0), (30, 30), (0.5, COUNT // 2)])
def test_the_same_names_with_other_uuids(
    limit: float, most: int, mode: Any, tmp_path: Path
) -> None:
    """No delete goes over the limit, however often it is tried."""
    fill(tmp_path, COUNT)
    script: list[Item] = [*reloaded(), refresh_present(b"c2"), Pause()]
    deleted: set[Any] = set()
    with Provider(*[script] * 5) as provider:
        for _ in range(2):  # the next client counts on
            recorder = Recorder()
            with follow(provider, tmp_path, recorder, mode, max_deletes=limit) as client:
                for _ in range(2):
                    recorder.mirror = contents(client)
                    error = attempt(client)
                    assert (error.deletes, error.entries) == (most + 1, COUNT)
                    deleted.update(recorder.of("delete"))
                assert len(deleted) == most
                assert recorder.of("refresh_done", "cookie") == []
                assert client.store.origin.cookie == b"c1"
        with follow(provider, tmp_path, recorder, mode, max_deletes=limit) as client:
            client.allow_deletes()
            recorder.mirror = contents(client)
            poll_until(client, recorder, "refresh_done") if mode is PERSIST else client.run()
            assert contents(client) == recorder.mirror
            assert client.store.origin.tally is None


def test_a_refresh_is_counted_over_commits_and_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "REFRESH_SECONDS", 0)
    fill(tmp_path, COUNT)
    for last in (10, 30, 40):
        recorder = Recorder()
        with (
            Provider([*reloaded(1, last), Pause(), Close()]) as provider,
            follow(provider, tmp_path, recorder, max_deletes=40) as client,
        ):
            recorder.mirror = contents(client)
            while client.store.origin.tally != f"{last} of {COUNT}":
                client.poll(10)
    recorder = Recorder()
    with (
        Provider([*reloaded(), refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder, max_deletes=40) as client,
    ):
        recorder.mirror = contents(client)
        assert attempt(client).deletes == 41
        assert not recorder.of("delete")


def test_what_a_refresh_adds_is_no_part_of_the_store(tmp_path: Path) -> None:
    """Loaded anew under other names: half of twice as many would be allowed to go."""
    fill(tmp_path, COUNT)
    answer = reloaded(name=lambda number: f"uid=n{number},dc=example,dc=com")
    script: list[Item] = [*answer, refresh_delete(b"c2"), Pause()]
    scripts: Answer = [[done(REFRESH_REQUIRED, sync_done=False)], script, script, script]
    recorder = Recorder()
    with (
        Provider(*scripts) as provider,
        follow(provider, tmp_path, recorder, max_deletes=0.5) as client,
    ):
        for _ in range(3):
            recorder.mirror = contents(client)
            error = attempt(client)
            assert (error.deletes, error.entries) == (COUNT, COUNT)


def test_the_persist_stage_is_not_guarded(tmp_path: Path) -> None:
    fill(tmp_path, COUNT)
    recorder = Recorder()
    script: list[Item] = [refresh_delete(), idset(uuids(1, COUNT), deletes=True), Pause()]
    with (
        Provider(script) as provider,
        follow(provider, tmp_path, recorder, max_deletes=0) as client,
    ):
        recorder.mirror = contents(client)
        poll_until(client, recorder, "delete", COUNT)
        assert contents(client) == {}
