# SPDX-License-Identifier: BSD-3-Clause
"""verify() and servers that don't play along; the search and the store outlive all of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Difference, DifferenceKind, Syncrepl, exceptions
from syncrepl_client.network import pages
from tests.faults.recorder import Recorder, contents, follow, poll_until
from tests.faults.test_stopping import meanwhile, on_signal, signal_main
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import (
    UNWILLING,
    Close,
    Drip,
    Flood,
    Half,
    Item,
    Pause,
    Provider,
    bare_entry,
    found,
    notice,
    page_end,
    refresh_delete,
)

pytestmark = pytest.mark.usefixtures("watchdog")

SIZE_LIMIT, ADMIN_LIMIT, UNAVAILABLE_CRITICAL_EXTENSION = 4, 11, 12
u = scripted.person
REFERENCE = scripted.reference(["ldap://h/dc=x"])


class Scene:
    """A client that has refreshed, u(1) and u(2) in its store, and goes on listening."""

    def __init__(self, provider: Provider, client: Syncrepl, recorder: Recorder, go_on: Pause):
        self.provider = provider
        self.client = client
        self.recorder = recorder
        self._go_on = go_on

    def check_search_goes_on(self) -> None:
        """See that nothing came of it: not in the store, not to the callback, not to the search."""
        client, recorder = self.client, self.recorder
        assert list(contents(client)) == [scripted.dn(1), scripted.dn(2)]
        assert recorder.heard == []
        self._go_on.go_on()
        poll_until(client, recorder, "change")
        assert recorder.changes == [("change", scripted.dn(2))]
        assert len(self.provider.searches) == 1


@contextmanager
def scene(
    path: Path, *pages: Sequence[Item], entries: dict[str, Any] | None = None
) -> Iterator[Scene]:
    recorder, go_on = Recorder(), Pause()
    script: list[Item] = [
        u(1),
        u(2),
        refresh_delete(b"c1"),
        go_on,
        u(2, "changed", scripted.MODIFY, b"c2"),
    ]
    with Provider(script, entries=entries or {}) as provider:
        for page in pages:
            provider.play_page(*page)
        with follow(provider, path, recorder) as client:
            poll_until(client, recorder, "commit")
            while not client.refreshed:
                assert client.poll(10)
            recorder.clear()
            yield Scene(provider, client, recorder, go_on)


def test_pages_are_asked_for_one_after_the_other(tmp_path: Path) -> None:
    pages = [[found(2), page_end(b"p1")], [page_end(b"p2")], [REFERENCE, found(1), page_end()]]
    with scene(tmp_path, *pages) as it:
        assert it.client.verify(page_size=300) == []
        assert it.provider.pages == [(300, b""), (300, b"p1"), (300, b"p2")]
        it.provider.heard.wait("unbind")
        it.check_search_goes_on()


def test_it_can_be_done_again(tmp_path: Path) -> None:
    page = [found(1), found(2), page_end()]
    with scene(tmp_path, page, page, page) as it:
        for _ in range(3):
            assert it.client.verify() == []
        it.provider.heard.wait("unbind", 3)
        it.check_search_goes_on()


def test_a_difference_is_looked_at_once_more(tmp_path: Path) -> None:
    """A rename while the search goes on may hide an entry from it."""
    page = [found(1, "in between"), found(3), page_end()]
    entries = {scripted.dn(1): found(1), scripted.dn(2): found(2)}
    with scene(tmp_path, page, entries=entries) as it:
        assert it.client.verify() == []
        assert it.provider.heard.count("read") == 2
        it.check_search_goes_on()


def test_what_differs_twice_is_returned(tmp_path: Path) -> None:
    page = [found(1, "other"), REFERENCE, found(3), page_end()]
    entries = {scripted.dn(1): found(1, "other"), scripted.dn(3): found(3)}
    with scene(tmp_path, page, entries=entries) as it:
        one, two, three = (scripted.dn(number) for number in (1, 2, 3))
        assert it.client.verify() == [
            Difference(DifferenceKind.DIFFERENT, one, one, ("description",)),
            Difference(DifferenceKind.MISSING, three),
            Difference(DifferenceKind.SURPLUS, two, two),
        ]
        it.check_search_goes_on()


# --- answers that are none

REFUSED = page_end(None, UNAVAILABLE_CRITICAL_EXTENSION, "what is this?")
BAD_CONTROL = scripted.Message(
    scripted.result(0x65, 0), scripted.control(scripted.PAGED_RESULTS, b"\x30\x01\x02")
)
ANSWERS: dict[str, tuple[list[Item], type[Exception], str]] = {
    "no paging": ([REFUSED], exceptions.PagingUnsupported, "no paged results"),
    "no paging, later": ([found(1), REFUSED], exceptions.PagingUnsupported, "no paged results"),
    "unpaged": ([found(1), page_end(None)], exceptions.ProtocolError, "without the paged results"),
    "bad control": ([found(1), BAD_CONTROL], exceptions.ProtocolError, "malformed paged results"),
    "size limit": ([found(1), page_end(b"", SIZE_LIMIT)], ldap.SIZELIMIT_EXCEEDED, "prtotal"),
    "admin limit": ([page_end(b"", ADMIN_LIMIT, "illegal pagedResults page size")],
                    ldap.ADMINLIMIT_EXCEEDED, r"illegal pagedResults page size.*size\.pr"),
    "unwilling": ([page_end(None, UNWILLING, "not today")], ldap.UNWILLING_TO_PERFORM, "not today"),
    "lost": ([found(1), Close()], ldap.SERVER_DOWN, "contact"),
    "lost in an entry": ([found(1), Half(found(2)), Close()], ldap.SERVER_DOWN, "contact"),
    "unavailable": ([found(1), notice(52)], ldap.UNAVAILABLE, "busy|navailable"),
    "no DN": ([bare_entry("nonsense", {})], exceptions.ProtocolError, "not a DN"),
    "not UTF-8": ([bare_entry(b"cn=\xff,dc=x", {})], exceptions.ProtocolError, "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_none(name: str, tmp_path: Path) -> None:
    page, error, text = ANSWERS[name]
    with scene(tmp_path, page) as it:
        with pytest.raises(error, match=text):
            it.client.verify()
        it.check_search_goes_on()


def test_a_bind_that_is_refused(tmp_path: Path) -> None:
    with scene(tmp_path) as it:
        it.provider.settings.bind_result = 49
        with pytest.raises(ldap.INVALID_CREDENTIALS):
            it.client.verify()
        it.provider.settings.bind_result = 0
        it.provider.play_page(found(1), found(2), page_end())
        assert it.client.verify() == []
        it.check_search_goes_on()


SILENCES: dict[str, Callable[[], list[Item]]] = {
    "from the start": list,
    "after an entry": lambda: [found(1)],
    "in an entry": lambda: [found(1), Half(found(2))],
    "dripping": lambda: [Drip(found(2, "x" * 100_000))],
}
"""Answers that don't end; a list each time, as what is played is used up."""


@pytest.mark.parametrize("name", SILENCES)
def test_a_silent_server(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_SILENCE_SECONDS", 0.3)
    with scene(tmp_path, SILENCES[name]()) as it:
        with pytest.raises(ldap.TIMEOUT, match="did not answer the search below"):
            it.client.verify()
        it.check_search_goes_on()


# --- stopping

STOPPED: dict[str, Callable[[], list[Item]]] = {**SILENCES, "flooded": lambda: [Flood()]}
ways = pytest.mark.parametrize("way", ["thread", "signal"])


@ways
@pytest.mark.parametrize("name", STOPPED)
def test_a_stop_ends_it(name: str, way: str, tmp_path: Path) -> None:
    with scene(tmp_path, STOPPED[name]()) as it:
        client = it.client
        act = client.please_stop if way == "thread" else signal_main(signal.SIGTERM)
        with (
            on_signal(signal.SIGTERM, client.please_stop),
            meanwhile(lambda: it.provider.heard.wait("page"), act),
            pytest.raises(exceptions.Stopped, match="please_stop"),
        ):
            client.verify(limit=1)
        assert not client.poll(10)
        assert list(contents(client)) == [scripted.dn(1), scripted.dn(2)]
        with pytest.raises(exceptions.Stopped):
            client.verify()


def test_signals_alone_do_not(tmp_path: Path) -> None:
    caught = threading.Event()
    with scene(tmp_path, [found(1), pause := Pause(), found(2), page_end()]) as it:
        with (
            on_signal(signal.SIGTERM, caught.set),
            meanwhile(pause.reached.wait, signal_main(signal.SIGTERM)),
            meanwhile(caught.wait, pause.go_on),
        ):
            assert it.client.verify() == []
        it.check_search_goes_on()


@pytest.mark.parametrize("method", ["poll", "verify", "unbind"])
def test_nothing_else_meanwhile(method: str, tmp_path: Path) -> None:
    said: list[BaseException] = []
    with scene(tmp_path, [found(1), pause := Pause(), found(2), page_end()]) as it:

        def call() -> None:
            try:
                getattr(it.client, method)()
            except exceptions.UsageError as error:
                said.append(error)
            finally:
                pause.go_on()

        with meanwhile(pause.reached.wait, call):
            assert it.client.verify() == []
        [error] = said
        assert f"{method}() while" in str(error)
        it.check_search_goes_on()
