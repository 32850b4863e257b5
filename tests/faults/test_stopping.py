# SPDX-License-Identifier: BSD-3-Clause
"""Stopping, from threads and signal handlers, whatever the server is doing just then.

That it takes no longer than a second is not checked here, where machines may be slow, but that
it ends at all: the watchdog barks at what doesn't.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Callable, NamedTuple

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode, exceptions
from tests.conftest import missing_servers_skip
from tests.faults.proxy import Proxy
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd, scripted
from tests.servers.people import person, person_dn
from tests.servers.scripted import (
    MODIFY,
    Drip,
    Flood,
    Half,
    Item,
    Pause,
    Provider,
    Rest,
    done,
    refresh_delete,
)

pytestmark = pytest.mark.usefixtures("watchdog")

ROOT = Path(__file__).parents[2]
u = scripted.person  # u(1) is an entry


@contextmanager
def meanwhile(wait: Callable[[], object], act: Callable[[], object]) -> Iterator[None]:
    """Act in another thread, as soon as *wait* returns."""

    def work() -> None:
        wait()
        act()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def on_signal(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Have a signal handler."""

    def handler(number: int, frame: FrameType | None) -> None:
        act()

    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def signal_main(number: int) -> Callable[[], None]:
    main = threading.main_thread().ident or 0
    return lambda: signal.pthread_kill(main, number)


def poll_to_the_end(client: Syncrepl, timeout: float | None = None) -> None:
    while client.poll(timeout):
        pass
    assert not client.poll(timeout)
    assert not client.store.in_transaction


def resume(data_path: Path, *cookies: bytes | None) -> None:
    """See that a new client sends one of these cookies, and completes the store."""
    seen = Recorder()
    with Provider([u(1, "last"), u(7), done(deletes=True, cookie=b"c9")]) as provider:
        with follow(provider, data_path, seen, REFRESH_ONLY) as client:
            seen.mirror = contents(client)
            client.run()
            assert contents(client) == seen.mirror
        assert provider.searches[0].cookie in cookies
    assert ("add", scripted.dn(7)) in seen.changes


WAIT = "wait"


class Scene(NamedTuple):
    """Where the stop comes: when so much was heard, and the script waits if it does."""

    script: list[Any]
    heard: str
    times: int
    cookie: bytes | None


IN_REFRESH = {
    "before anything": Scene([WAIT], "bind", 1, None),
    "waiting": Scene([u(1), u(2), WAIT], "add", 2, None),
    "flooded": Scene([u(1), Flood()], "add", 100, None),
    "half an entry": Scene([u(1), Half(u(2)), WAIT], "add", 1, None),
    "half its end": Scene([u(1), Half(refresh_delete(b"c1")), WAIT], "add", 1, None),
    "dripping": Scene([u(1), Drip(u(2, "x" * 100_000))], "add", 1, None),
}
IN_PERSIST = {
    "waiting": Scene([u(1), refresh_delete(b"c1"), WAIT], "commit", 1, b"c1"),
    "flooded": Scene([refresh_delete(b"c1"), Flood(MODIFY)], "add", 100, b"c1"),
    "half an entry": Scene([refresh_delete(b"c1"), Half(u(2)), WAIT], "commit", 1, b"c1"),
    "dripping": Scene([refresh_delete(b"c1"), Drip(u(1, "x" * 100_000))], "commit", 1, b"c1"),
}
SCENES = {
    **{f"refresh, {name}": scene for name, scene in IN_REFRESH.items()},
    **{f"persist, {name}": scene for name, scene in IN_PERSIST.items()},
}
scenes = pytest.mark.parametrize("name", SCENES)
CANCELS: dict[str, dict[str, Any]] = {
    "cancel": {},
    "cancel without answer": {"answers_cancel": False},
    "no cancel": {"knows_cancel": False},
}


class Set:
    """A scene that is set: a provider that plays it, and how to know that it is played."""

    def __init__(self, scene: Scene, settings: dict[str, Any]) -> None:
        self._pauses = [Pause() for item in scene.script if item is WAIT]
        pauses = iter(self._pauses)
        self.provider = Provider(
            [next(pauses) if item is WAIT else item for item in scene.script], **settings
        )
        self.recorder = Recorder()
        self._heard = threading.Semaphore(0)
        self.recorder.on[scene.heard] = self._heard.release
        self._times = scene.times

    def wait(self) -> None:
        """Wait until it is played."""
        for _ in range(self._times):
            assert self._heard.acquire(timeout=HANGS_SECONDS)
        for pause in self._pauses:
            assert pause.reached.wait(HANGS_SECONDS)


@scenes
@pytest.mark.parametrize("cancel", CANCELS)
def test_from_a_thread(name: str, cancel: str, tmp_path: Path) -> None:
    played = Set(SCENES[name], CANCELS[cancel])
    with played.provider as provider:
        with (
            follow(provider, tmp_path, played.recorder) as client,
            meanwhile(played.wait, client.please_stop),
        ):
            poll_to_the_end(client)
        provider.heard.wait("unbind")
    assert ("cancel" in provider.heard) == (cancel != "no cancel")
    if cancel != "cancel":
        assert "abandon" in provider.heard
    resume(tmp_path, SCENES[name].cookie)


@scenes
def test_from_a_signal_handler(name: str, tmp_path: Path) -> None:
    played = Set(SCENES[name], {})
    with (
        played.provider as provider,
        follow(provider, tmp_path, played.recorder) as client,
        on_signal(signal.SIGTERM, client.please_stop),
        meanwhile(played.wait, signal_main(signal.SIGTERM)),
    ):
        poll_to_the_end(client, 60)
    resume(tmp_path, SCENES[name].cookie)


@scenes
def test_a_signal_that_does_not_stop_changes_nothing(name: str, tmp_path: Path) -> None:
    played = Set(SCENES[name], {})
    heard: list[int] = []
    with played.provider as provider, follow(provider, tmp_path, played.recorder) as client:

        def act() -> None:
            heard.append(1)
            signal.setitimer(signal.ITIMER_REAL, 0 if len(heard) == 20 else 0.01)
            if len(heard) == 20:
                client.please_stop()

        def start() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.01)

        with on_signal(signal.SIGALRM, act), meanwhile(played.wait, start):
            poll_to_the_end(client)
    assert len(heard) == 20
    resume(tmp_path, SCENES[name].cookie)


@contextmanager
def storm(number: int = signal.SIGALRM) -> Iterator[list[int]]:
    """Signals hit every instruction of a client at work, and leave it time for some."""
    heard: list[int] = []
    blowing = True

    def act() -> None:
        heard.append(number)
        if blowing:  # counts from here, however slow the client was
            signal.setitimer(signal.ITIMER_REAL, 0.0005)

    with on_signal(number, act):
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            yield heard
        finally:
            blowing = False
            signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("name", ["refresh, flooded", "persist, flooded"])
def test_a_storm_of_signals_at_work(name: str, tmp_path: Path) -> None:
    played = Set(SCENES[name]._replace(times=3000), {})
    with (
        played.provider as provider,
        follow(provider, tmp_path, played.recorder) as client,
        storm() as heard,
        meanwhile(played.wait, client.please_stop),
    ):
        poll_to_the_end(client)
    assert len(heard) > 100
    resume(tmp_path, SCENES[name].cookie)


def test_a_storm_of_signals_with_nothing_to_do(tmp_path: Path) -> None:
    """A signal must not look like the end of the connection, as it does to libldap."""
    recorder = Recorder()
    with (
        Provider([u(1), refresh_delete(b"c1"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        poll_until(client, recorder, "commit")
        with storm() as heard:
            while len(heard) < 3000:
                assert client.poll(0)


def test_the_other_half_comes_after_all(tmp_path: Path) -> None:
    pauses = [Pause() for _ in range(3)]
    script: list[Item] = []
    for pause, message in zip(pauses, (u(1), refresh_delete(b"c1"), u(2, cookie=b"c2"))):
        script += [Half(message), pause, Rest(message)]
    recorder = Recorder()
    with Provider(script) as provider, follow(provider, tmp_path, recorder) as client:
        for pause in pauses:
            pause.reached.wait(HANGS_SECONDS)
            assert client.poll(0.05)
            pause.go_on()
        poll_until(client, recorder, "add", 2)
        assert contents(client) == recorder.mirror
    assert list(recorder.mirror) == [scripted.dn(1), scripted.dn(2)]


def test_a_message_in_single_bytes(tmp_path: Path) -> None:
    recorder = Recorder()
    messages = (u(1), refresh_delete(b"c1"), u(2))
    script: list[Item] = [*(Drip(message, 0.0005) for message in messages), Pause()]
    with Provider(script) as provider, follow(provider, tmp_path, recorder) as client:
        poll_until(client, recorder, "add", 2)
    assert list(recorder.mirror) == [scripted.dn(1), scripted.dn(2)]


# --- in the middle of one message with many consequences

MANY = 3000


def fill(data_path: Path, count: int) -> None:
    script = [*map(u, range(1, count + 1)), done(deletes=True, cookie=b"c1")]
    with (
        Provider(script) as provider,
        follow(provider, data_path, Recorder(), REFRESH_ONLY) as client,
    ):
        client.run()
        assert len(client.store.items()) == count


def test_in_a_huge_prune(tmp_path: Path) -> None:
    fill(tmp_path, MANY)
    recorder = Recorder()
    with (
        Provider([u(1), done(deletes=False, cookie=b"c2")]) as provider,
        follow(provider, tmp_path, recorder, REFRESH_ONLY) as client,
    ):
        before = recorder.mirror = contents(client)

        def stop() -> None:
            if len(recorder.changes) == 100:
                client.please_stop()

        recorder.on["delete"] = stop
        before = dict(before)
        poll_to_the_end(client)
        assert contents(client) == before
    assert len(recorder.changes) < MANY
    assert not recorder.of("refresh_done", "cookie", "commit")

    again = Recorder(before)
    with Provider([u(1), done(deletes=False, cookie=b"c2")]) as provider:
        with follow(provider, tmp_path, again, REFRESH_ONLY) as client:
            client.run()
            assert list(contents(client)) == [scripted.dn(1)]
        assert provider.searches[0].cookie == b"c1"
    assert len(again.of("delete")) == MANY - 1


def test_in_a_huge_rename(tmp_path: Path) -> None:
    """One message: the parent of them all has another name."""
    base = "dc=example,dc=com"
    parent = scripted.uuid(1_000_000)
    children = [
        scripted.entry(f"uid=u{n},ou=a,{base}", {}, identity=scripted.uuid(n))
        for n in range(1, MANY)
    ]
    script: list[Item] = [
        scripted.entry(f"ou=a,{base}", {}, identity=parent),
        *children,
        refresh_delete(b"c1"),
        scripted.entry(f"ou=b,{base}", {}, MODIFY, parent, b"c2"),
        Pause(),
    ]
    recorder = Recorder()
    with Provider(script) as provider, follow(provider, tmp_path, recorder) as client:

        def stop() -> None:
            if len(recorder.of("rename")) == 100:
                client.please_stop()

        recorder.on["rename"] = stop
        poll_to_the_end(client)
        assert all(name.endswith(f"ou=a,{base}") for name in contents(client))
        assert len(client.store.items()) == MANY
    assert len(recorder.of("rename")) < MANY


# --- over TLS


@pytest.fixture(scope="module")
def secure_slapd() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(tls=True, sessionlog=100) as server:
        yield server


@pytest.mark.parametrize("starttls", [False, True], ids=["ldaps", "starttls"])
@pytest.mark.parametrize("how", ["thread", "signal"])
def test_half_a_tls_record(how: str, starttls: bool, secure_slapd: Slapd, tmp_path: Path) -> None:
    with secure_slapd.connected() as connection, suppress(ldap.NO_SUCH_OBJECT):
        connection.delete_s(person_dn(1))  # of the test before
    url = secure_slapd.url if starttls else secure_slapd.ldaps_url or ""
    with Proxy(int(url.rpartition(":")[2])) as proxy:
        recorder = Recorder()
        with Syncrepl(
            f"{tmp_path}/",
            recorder,
            PERSIST,
            f"{'ldap' if starttls else 'ldaps'}://127.0.0.1:{proxy.port}/{secure_slapd.suffix}??sub",
            starttls,
            options={ldap.OPT_X_TLS_CACERTFILE: secure_slapd.ca_file},
        ) as client:
            poll_until(client, recorder, "commit")
            before = contents(client)
            proxy.stall()
            with secure_slapd.connected() as connection:
                connection.add_s(person_dn(1), list(person(1).items()))
            stop = client.please_stop if how == "thread" else signal_main(signal.SIGTERM)
            with (
                on_signal(signal.SIGTERM, client.please_stop),
                meanwhile(lambda: proxy.stalled.wait(HANGS_SECONDS), stop),
            ):
                poll_to_the_end(client)
            assert contents(client) == before
    with Syncrepl(
        f"{tmp_path}/", recorder, REFRESH_ONLY, f"{secure_slapd.url}/{secure_slapd.suffix}??sub"
    ) as client:
        client.run()
        assert contents(client) == recorder.mirror
    assert person_dn(1) in recorder.mirror


# --- a process that is told to end

FOLLOWER = """
import signal, sys
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback

class Callback(BaseCallback):
    def record_add(self, dn, attrs):
        print("add", flush=True)
    def before_commit(self):
        print("commit", flush=True)

data_path, url = sys.argv[1:]
with Syncrepl(data_path, Callback, SyncreplMode.REFRESH_AND_PERSIST, url) as client:
    signal.signal(signal.SIGTERM, lambda number, frame: client.please_stop())
    print("ready", flush=True)
    client.run()
print("the end", flush=True)
"""


@scenes
def test_sigterm_ends_a_process(name: str, tmp_path: Path) -> None:
    scene = SCENES[name]
    played = Set(scene, {})
    script = scene.script
    with played.provider as provider:
        url = f"{provider.url}/dc=example,dc=com??sub"
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", FOLLOWER, f"{tmp_path}/", url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            seen = ["bind"]
            while seen.count(scene.heard) < scene.times or "ready" not in seen:
                seen.append(process.stdout.readline().strip())
                assert seen[-1], "it ended"
            if WAIT in script:
                provider.heard.wait("search")
            process.terminate()
            rest, _ = process.communicate(timeout=HANGS_SECONDS)
        assert process.returncode == 0
        assert rest.splitlines()[-1] == "the end"
    resume(tmp_path, scene.cookie)


# --- KeyboardInterrupt


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@scenes
@pytest.mark.usefixtures("interruptible")
def test_keyboard_interrupt(name: str, tmp_path: Path) -> None:
    scene = SCENES[name]
    played = Set(scene, {})
    played.provider.play(u(1), u(2), refresh_delete(b"c5"), Pause())
    with played.provider as provider, follow(provider, tmp_path, played.recorder) as client:
        with (
            pytest.raises(KeyboardInterrupt),
            meanwhile(played.wait, signal_main(signal.SIGINT)),
        ):
            client.run()
        assert not client.store.in_transaction
    # What was told of may not have been committed when the interrupt came.
    resume(tmp_path, scene.cookie, None)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("what", ["add", "refresh_done", "cookie", "commit"])
def test_keyboard_interrupt_in_a_callback(what: str, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.on[what] = lambda: signal.raise_signal(signal.SIGINT)
    script: list[Item] = [u(1), u(2), refresh_delete(b"c1"), Pause()]
    with Provider(script, script) as provider:
        with follow(provider, tmp_path, recorder) as client:
            with pytest.raises(KeyboardInterrupt):
                client.run()
            assert contents(client) == {}
            recorder.on.clear()
            recorder.mirror.clear()
            recorder.clear()
            poll_until(client, recorder, "commit")  # the same client takes it up again
            assert contents(client) == recorder.mirror
            assert len(recorder.mirror) == 2
        assert [search.cookie for search in provider.searches] == [None, None]


# --- poll's own statements


def test_idle(tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([u(1), refresh_delete(b"c1"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        poll_until(client, recorder, "commit")
        recorder.clear()
        assert client.poll(0.01)
        assert client.poll(0)
        assert client.poll(timeout=0.0)
        assert recorder.heard == []


def test_poll_0_does_not_wait(tmp_path: Path) -> None:
    pause = Pause()
    recorder = Recorder()
    with (
        Provider([pause, u(1), refresh_delete(b"c1"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        assert all(client.poll(0) for _ in range(100))
        assert recorder.kinds == ["bind"]
        pause.go_on()
        while not recorder.of("commit"):
            assert client.poll(0)
        assert contents(client) == recorder.mirror


def test_an_infinite_timeout(tmp_path: Path) -> None:
    played = Set(IN_PERSIST["waiting"], {})
    with (
        played.provider as provider,
        follow(provider, tmp_path, played.recorder) as client,
        meanwhile(played.wait, client.please_stop),
    ):
        poll_to_the_end(client, float("inf"))


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf"), "3", b"", [], True])
def test_bad_timeouts(timeout: Any, tmp_path: Path) -> None:
    recorder = Recorder()
    with (
        Provider([u(1), refresh_delete(b"c1"), Pause()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        with pytest.raises(exceptions.ConfigurationError, match="timeout is"):
            client.poll(timeout)
        poll_until(client, recorder, "commit")  # nothing is broken by it


def test_before_the_first_poll(tmp_path: Path) -> None:
    with Provider([u(1), refresh_delete(b"c1")]) as provider:
        recorder = Recorder()
        with follow(provider, tmp_path, recorder) as client:
            client.please_stop()
            client.please_stop()
            poll_to_the_end(client)
            client.run()
        assert recorder.kinds == ["bind"]
        assert "cancel" in provider.heard
    resume(tmp_path, None)


@pytest.mark.parametrize("what", ["add", "refresh_done", "cookie", "commit"])
@pytest.mark.parametrize("mode", [REFRESH_ONLY, PERSIST])
def test_in_a_callback(what: str, mode: SyncreplMode, tmp_path: Path) -> None:
    end = done(deletes=True, cookie=b"c1") if mode is REFRESH_ONLY else refresh_delete(b"c1")
    with Provider([u(1), u(2), end, Pause()]) as provider:
        recorder = Recorder()
        with follow(provider, tmp_path, recorder, mode) as client:
            recorder.on[what] = client.please_stop
            poll_to_the_end(client)
    resume(tmp_path, None if what == "add" else b"c1")


def test_when_the_server_is_gone(tmp_path: Path) -> None:
    """Cancel can't be sent: that is no reason not to stop."""
    played = Set(IN_PERSIST["waiting"], {})
    with played.provider as provider:
        client = follow(provider, tmp_path, played.recorder)
        poll_until(client, played.recorder, "commit")
    client.please_stop()
    poll_to_the_end(client)
    client.unbind()


def test_after_the_end(tmp_path: Path) -> None:
    with Provider([u(1), done(deletes=True, cookie=b"c1")]) as provider:
        with follow(provider, tmp_path, Recorder(), REFRESH_ONLY) as client:
            client.run()
            client.please_stop()
            poll_to_the_end(client)
        assert "cancel" not in provider.heard
        assert "abandon" not in provider.heard


def test_unbind_while_flooded(tmp_path: Path) -> None:
    recorder = Recorder()
    with Provider([u(1), Flood()]) as provider:
        client = follow(provider, tmp_path, recorder)
        assert client.poll(HANGS_SECONDS)
        client.unbind()
        with pytest.raises(exceptions.ClosedError):
            client.please_stop()
    resume(tmp_path, None)
