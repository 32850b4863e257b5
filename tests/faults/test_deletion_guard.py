# SPDX-License-Identifier: BSD-3-Clause
"""The deletion guard: a refresh that would delete too much deletes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import Backoff, Syncrepl, exceptions
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.test_reconciling import cookies
from tests.faults.test_stopping import fill
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import (
    REFRESH_REQUIRED,
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


def test_swaps_are_no_deletes(tmp_path: Path) -> None:
    """An entry that is reported deleted and added, as it is in the way, has not left."""
    fill(tmp_path, COUNT)
    recorder = Recorder()
    swapped = [
        entry(dn(COUNT + 1 - number), {"uid": [f"u{number}"]}, identity=uuid(number))
        for number in range(1, COUNT + 1)
    ]
    with (
        Provider([*swapped, refresh_delete(b"c2"), Pause()]) as provider,
        follow(provider, tmp_path, recorder, max_deletes=0) as client,
    ):
        recorder.mirror = contents(client)
        poll_until(client, recorder, "refresh_done")
        assert recorder.of("delete")
        assert contents(client) == recorder.mirror
        assert len(recorder.mirror) == COUNT


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
