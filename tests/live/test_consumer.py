# SPDX-License-Identifier: BSD-3-Clause
"""The consumer mixin: python-ldap's tests of its own class, and what is different."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from uuid import UUID

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import SyncreplMode, exceptions
from syncrepl_client.consumer import SyncreplConsumer
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.protocol.cookie import csns
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import DS389, Server, Slapd
from tests.servers import scripted as s
from tests.servers.people import person, person_dn

pytestmark = pytest.mark.usefixtures("watchdog")

THEIR_IMPORT = "from ldap.syncrepl import SyncreplConsumer, SyncInfoMessage"
OUR_IMPORT = (
    "from syncrepl_client.consumer import SyncreplConsumer\n"
    "from ldap.syncrepl import SyncInfoMessage"
)


class Consumer(LDAPObject, SyncreplConsumer):
    """Writes down what it is told, the mixin last as python-ldap's programs have it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.cookie: bytes | str | None = None
        self.told: list[str] = []
        self.uuids: dict[str, str] = {}

    def syncrepl_get_cookie(self) -> bytes | str | None:
        return self.cookie

    def syncrepl_set_cookie(self, cookie: bytes) -> None:
        self.cookie = cookie
        self.told.append("cookie")

    def syncrepl_entry(self, dn: str, attrs: Attributes, uuid: str) -> None:
        assert str(UUID(uuid)) == uuid
        self.uuids[uuid] = dn
        assert attrs
        self.told.append(f"entry {dn.partition(',')[0]}")

    def syncrepl_delete(self, uuids: list[str]) -> None:
        self.told += [f"delete {self.uuids[uuid].partition(',')[0]}" for uuid in uuids]

    def syncrepl_present(
        self,
        uuids: list[str] | None,
        refreshDeletes: bool = False,  # noqa: N803
    ) -> None:
        self.told.append("present" if uuids else f"end {refreshDeletes}")

    def syncrepl_reference(self, urls: Sequence[str], uuid: str) -> None:
        self.told.append(f"reference {' '.join(urls)}")

    def syncrepl_refreshdone(self) -> None:
        self.told.append("refreshdone")


@contextmanager
def consuming(server: Server | s.Provider) -> Iterator[Consumer]:
    consumer = Consumer(server.url)
    try:
        consumer.simple_bind_s()
        yield consumer
    finally:
        consumer.unbind_s()


def search(consumer: Consumer, base: str, mode: str = "refreshOnly") -> int:
    return consumer.syncrepl_search(base, ldap.SCOPE_SUBTREE, mode)


def test_python_ldaps_own_tests(python_ldap_source: Path, tmp_path: Path) -> None:
    text = (python_ldap_source / "Tests" / "t_ldap_syncrepl.py").read_text(encoding="utf-8")
    assert text.count(THEIR_IMPORT) == 1
    (tmp_path / "t_ours.py").write_text(text.replace(THEIR_IMPORT, OUR_IMPORT), encoding="utf-8")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "-v", "t_ours"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"\.\.\. ok$", done.stderr, re.MULTILINE)) >= 7, done.stderr
    assert "skipped" not in done.stderr


def test_a_life(slapd: Slapd) -> None:
    with consuming(slapd) as consumer, slapd.connected() as connection:
        base = f"ou=people,{slapd.suffix}"
        connection.add_s(person_dn(1), list(person(1).items()))
        assert search(consumer, base) > 0
        assert consumer.syncrepl_poll(all=1) is False
        assert consumer.told == [
            *("entry ou=people", "present", "entry uid=u0000001", "present"),
            *("end True", "cookie"),
        ]
        assert isinstance(consumer.cookie, bytes)
        consumer.told.clear()
        connection.delete_s(person_dn(1))
        search(consumer, base, "refreshAndPersist")
        while "refreshdone" not in consumer.told:
            assert consumer.syncrepl_poll() is True
        assert consumer.told == ["delete uid=u0000001", "end True", "cookie", "refreshdone"]
        consumer.told.clear()
        connection.add_s(person_dn(2), list(person(2).items()))
        assert consumer.syncrepl_poll(timeout=HANGS_SECONDS) is True
        assert consumer.told == ["entry uid=u0000002", "cookie"]
        with pytest.raises(ldap.TIMEOUT):
            consumer.syncrepl_poll(timeout=0)
        connection.delete_s(person_dn(2))


def test_a_cookie_that_python_ldap_decoded(slapd: Slapd) -> None:
    with consuming(slapd) as consumer:
        search(consumer, slapd.suffix)
        consumer.syncrepl_poll(all=1)
        assert isinstance(consumer.cookie, bytes)
        consumer.cookie = consumer.cookie.decode("latin-1")
        consumer.told.clear()
        search(consumer, slapd.suffix)
        assert consumer.syncrepl_poll(all=1) is False
        assert consumer.told == ["end True"]


def test_389_wants_a_refresh(ds389: DS389) -> None:
    ds389.reset()
    with consuming(ds389) as consumer:
        search(consumer, ds389.suffix, "refreshAndPersist")
        while "refreshdone" not in consumer.told:
            consumer.syncrepl_poll()
    with consuming(ds389) as consumer:
        consumer.cookie = b"elsewhere:389#cn=nobody:dc=example,dc=com:(objectClass=*)#1"
        search(consumer, ds389.suffix)
        with pytest.raises(exceptions.SyncRefreshRequired) as caught:
            consumer.syncrepl_poll(all=1)
        assert isinstance(caught.value, ldap.LDAPError)
        assert caught.value.args[0]["result"] == 4096
        assert isinstance(caught.value, exceptions.ServerError)


def scripted(*items: s.Item) -> s.Provider:
    return s.Provider(list(items))


def test_a_refreshs_cookie_comes_when_it_is_over() -> None:
    """As 389-ds sends it: with the deletes, before the entries that it covers."""
    gone = s.idset([s.uuid(9)], deletes=True, cookie=b"c1")
    with scripted(gone, s.person(1), s.done()) as provider, consuming(provider) as it:
        it.uuids[str(UUID(bytes=s.uuid(9)))] = "cn=nine"
        search(it, "dc=example,dc=com")
        assert it.syncrepl_poll(all=1) is False
        assert it.told[0] == "delete cn=nine"
        assert it.told[-1] == "cookie"
        assert it.told.count("cookie") == 1
        assert it.cookie == b"c1"


def csn(sid: int, count: int) -> bytes:
    return b"20260101000000.%06dZ#000000#%03d#000000" % (count, sid)


def test_the_cookies_of_openldaps_servers_are_merged() -> None:
    both = b"rid=000,csn=" + csn(1, 1) + b";" + csn(2, 1)
    later = b"rid=000,sid=002,csn=" + csn(2, 2)
    pause = s.Pause()
    with (
        scripted(s.refresh_delete(both), s.person(1, cookie=later), pause) as provider,
        consuming(provider) as it,
    ):
        search(it, "dc=example,dc=com", "refreshAndPersist")
        for _ in range(2):
            assert it.syncrepl_poll()
        assert isinstance(it.cookie, bytes)
        assert csns(it.cookie) == {b"001": csn(1, 1), b"002": csn(2, 2)}
        assert b"sid=" not in it.cookie
        pause.go_on()


def test_references_are_told() -> None:
    item = s.reference(["ldap://elsewhere/"])
    with scripted(item, s.done(cookie=b"c")) as provider, consuming(provider) as it:
        search(it, "dc=example,dc=com")
        assert it.syncrepl_poll(all=1) is False
        assert it.told[0] == "reference ldap://elsewhere/"


def test_the_hint_is_sent() -> None:
    with scripted(s.done(cookie=b"c")) as provider, consuming(provider) as it:
        it.syncrepl_search("", ldap.SCOPE_BASE, SyncreplMode.REFRESH_ONLY, b"x", reloadHint=True)
        assert it.syncrepl_poll(all=1) is False
        [heard] = provider.searches
        assert (heard.cookie, heard.reload_hint) == (b"x", True)


def test_a_mode_that_is_none() -> None:
    consumer = Consumer("ldap://127.0.0.1:1")
    with pytest.raises(exceptions.ConfigurationError, match="refreshAndPersist"):
        search(consumer, "", "refreshAndWait")


def test_controls_of_the_programs_are_sent_and_its_list_stays(slapd: Slapd) -> None:
    with consuming(slapd) as consumer:
        controls = [ldap.controls.RequestControl("2.16.840.1.113730.3.4.2", True)]
        consumer.syncrepl_search(
            slapd.suffix, ldap.SCOPE_BASE, serverctrls=controls, filterstr="(objectClass=*)"
        )
        assert consumer.syncrepl_poll(all=1) is False
        assert len(controls) == 1


def test_a_signal_while_it_waits(slapd: Slapd) -> None:
    """In libldap it would end the connection (errno 4)."""
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        consumer.syncrepl_stop()

    with consuming(slapd) as consumer, slapd.connected() as connection:
        base = f"ou=people,{slapd.suffix}"
        search(consumer, base, "refreshAndPersist")
        while "refreshdone" not in consumer.told:
            consumer.syncrepl_poll()
        before = signal.signal(signal.SIGALRM, note)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            assert consumer.syncrepl_poll(all=1) is True  # the search goes on
        finally:
            signal.signal(signal.SIGALRM, before)
        assert heard == [signal.SIGALRM]
        connection.add_s(person_dn(3), list(person(3).items()))
        assert consumer.syncrepl_poll() is True
        assert "entry uid=u0000003" in consumer.told
        connection.delete_s(person_dn(3))


def test_a_stop_from_a_thread() -> None:
    pause = s.Pause()
    with scripted(pause) as provider, consuming(provider) as it:
        search(it, "", "refreshAndPersist")
        threading.Timer(0.1, it.syncrepl_stop).start()
        assert it.syncrepl_poll(all=1) is True
        pause.go_on()
