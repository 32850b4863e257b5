# SPDX-License-Identifier: BSD-3-Clause
"""Servers that are set up so that they leave changes out: what can be seen of that, and by whom."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl, doctor
from syncrepl_client.doctor import Finding, Verdict
from syncrepl_client.store import read_store
from tests.cli.commands import run as run_command
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents
from tests.servers import DS389, Server, Slapd
from tests.servers.glued import SUBORDINATE, Glued
from tests.servers.people import SUFFIX, base_ldif, person, person_dn
from tests.servers.replicas import CHECKPOINT, wait_until

RunServer = Callable[..., Any]
EVERYTHING = f"/{SUFFIX}??sub"


class Followed:
    """A server, and a store that a client brings up to date now and then."""

    def __init__(self, server: Server, path: Path, base: str = SUFFIX) -> None:
        self.server = server
        self.path = path
        self.url = f"{server.url}/{base}??sub"
        self.recorder = Recorder()

    @contextmanager
    def client(self, mode: Any = REFRESH_ONLY, **options: Any) -> Iterator[Syncrepl]:
        self.recorder.clear()
        self.recorder.messages.clear()
        with Syncrepl(f"{self.path}/", self.recorder, mode, self.url, **options) as client:
            yield client

    def run(self, **options: Any) -> None:
        """Bring the store up to date; see that the callback was told of all that differs."""
        with self.client(**options) as client:
            client.run()
            assert contents(client) == self.recorder.mirror
        with self.server.connected() as connection:
            found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
        assert set(self.recorder.mirror) <= {name for name, _ in found}

    @property
    def resumed(self) -> bool:
        (searching,) = [each for each in self.recorder.messages if "searching with" in each]
        return "no cookie" not in searching

    def add(self, *numbers: int) -> None:
        with self.server.connected() as connection:
            for number in numbers:
                connection.add_s(person_dn(number), list(person(number).items()))

    def delete(self, *numbers: int) -> None:
        with self.server.connected() as connection:
            for number in numbers:
                connection.delete_s(person_dn(number))

    def examine(self) -> dict[str, Finding]:
        with read_store(str(self.path)) as reader:
            origin = reader.origin
        return {each.subject: each for each in doctor.examine(self.url, origin=origin)}

    def status(self) -> Any:
        done = run_command("status", "-d", str(self.path), "--format", "json", "--wait", "0")
        return json.loads(done.out)


# --- syncprov-nopresent

NO_PRESENT = "syncprov-nopresent TRUE"


def test_no_present_phase_and_no_session_log(run_server: RunServer, tmp_path: Path) -> None:
    """A resume tells of no delete then, and ends as if there were a session log."""
    followed = Followed(run_server(Slapd, extra_database=NO_PRESENT), tmp_path)
    followed.add(*range(20))
    followed.run()
    followed.delete(*range(20))
    followed.add(30)
    followed.run()
    assert not followed.resumed
    assert len(followed.recorder.of("delete")) == 20
    log = followed.examine()["session log"]
    assert log.verdict is Verdict.FAILURE
    assert "replace: olcSpNoPresent" in log.advice.commands
    assert "nopresent" in followed.status()["next_start_without_cookie"]


@pytest.mark.parametrize(
    ("log", "extra"), [(100, NO_PRESENT), (100, ""), (None, ""), (None, "syncprov-reloadhint TRUE")]
)
def test_others_are_resumed(
    run_server: RunServer, tmp_path: Path, log: int | None, extra: str
) -> None:
    followed = Followed(run_server(Slapd, sessionlog=log, extra_database=extra), tmp_path)
    followed.add(1, 2)
    followed.run()
    followed.delete(1)
    followed.run()
    assert followed.resumed
    assert followed.recorder.changes == [("delete", person_dn(1))]
    assert followed.examine()["session log"].verdict is not Verdict.FAILURE


# --- clocks


def ahead_of_time(sid: int) -> str:
    """LDIF with an entry that will be changed tomorrow, by the server of that ID."""
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    csn = f"{tomorrow:%Y%m%d%H%M%S.%f}Z#000000#{sid:03x}#000000"
    return re.sub("(?m)^ou: groups$", f"ou: groups\nentryCSN: {csn}", base_ldif())


@pytest.mark.parametrize("own", [True, False])
def test_a_change_that_is_yet_to_come(run_server: RunServer, tmp_path: Path, own: bool) -> None:
    """A server whose own newest change is in the future says that nothing changed since."""
    server = run_server(Slapd, server_id=1, sessionlog=100, ldif=ahead_of_time(1 if own else 2))
    followed = Followed(server, tmp_path)
    followed.add(1)
    followed.run()
    followed.delete(1)
    followed.add(2)
    followed.run()
    assert set(followed.recorder.changes) == {("delete", person_dn(1)), ("add", person_dn(2))}
    assert followed.resumed is not own
    found, doubt = followed.examine(), followed.status()["next_start_without_cookie"]
    if own:
        assert found["clock"].verdict is Verdict.FAILURE
        assert "yet to come" in found["clock"].found
        assert "yet to come" in doubt
    else:
        assert "clock" not in found
        assert doubt is None


# --- restored under another server ID


def test_restored_under_another_server_id(run_server: RunServer, tmp_path: Path) -> None:
    """It takes the cookie, as its newest change is of the other one, and says: nothing changed."""
    server = run_server(Slapd, server_id=1, extra_database=CHECKPOINT, maxsize=1 << 24)
    followed = Followed(server, tmp_path)
    followed.add(1)
    server.stop()
    shutil.copytree(server.directory / "data", server.directory / "backup")
    server.start()
    followed.add(2)
    followed.run()
    server.stop()
    shutil.rmtree(server.directory / "data")
    shutil.copytree(server.directory / "backup", server.directory / "data")
    config = server.directory / "slapd.conf"
    config.write_text(config.read_text().replace("serverID 1", "serverID 2"))
    server.start()
    found, status = followed.examine(), followed.status()
    assert found["store"].verdict is Verdict.FAILURE
    assert "server ID 001" in found["store"].found
    assert "server ID 001" in status["server_lacks"]
    assert status["ahead"]
    followed.run(lag_patience=0.3)
    assert followed.recorder.changes == [("delete", person_dn(2))]
    assert followed.examine()["store"].verdict is Verdict.OK


# --- glued databases


def test_glued_rightly(run_server: RunServer, tmp_path: Path) -> None:
    """One syncprov, above an explicit glue; the contextCSN of the subordinate is an old one."""
    followed = Followed(run_server(Glued), tmp_path)
    followed.run()
    assert len(followed.recorder.mirror) == 6
    followed.add(7)
    followed.delete(1)
    followed.run()
    assert followed.resumed
    assert followed.recorder.changes == [("add", person_dn(7)), ("delete", person_dn(1))]
    found = followed.examine()
    assert "glue" not in found
    assert found["answer"].verdict is Verdict.OK
    assert followed.status()["misconfigured"] is None


def test_a_base_in_the_subordinate(run_server: RunServer) -> None:
    """The superior's syncprov is the right one: nobody is told to add another."""
    server = run_server(Glued)
    found = {each.subject: each for each in doctor.examine(f"{server.url}/{SUBORDINATE}??sub")}
    assert found["refresh"].verdict is Verdict.FAILURE
    assert "whose syncprov serves both" in found["refresh"].advice.text
    assert not found["refresh"].advice.commands


WRONG = pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"both": True}, "have an overlay syncprov"),
        ({"explicit": False}, "lacks all entries from ou=people"),
        ({"explicit": False, "both": True}, "lacks all entries from ou=people"),
    ],
)


@WRONG
def test_glued_wrongly(
    run_server: RunServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, bool],
    said: str,
) -> None:
    followed = Followed(run_server(Glued, **options), tmp_path)
    followed.run()
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert getattr(warning, "event", None) == "misconfigured"
    assert said in warning.getMessage()
    found = followed.examine()
    assert found["glue"].verdict is Verdict.FAILURE
    assert said in found["glue"].found
    whole = "explicit" not in options
    assert found["answer"].verdict is (Verdict.OK if whole else Verdict.FAILURE)
    assert said in followed.status()["misconfigured"]
    done = run_command("status", "-d", str(tmp_path))
    assert done.code == 1
    assert "changes are left out" in done.out


def test_a_subordinate_on_its_own(run_server: RunServer, tmp_path: Path) -> None:
    """Without an explicit glue it may have a syncprov, and be followed alone."""
    followed = Followed(run_server(Glued, explicit=False, both=True), tmp_path, SUBORDINATE)
    followed.run()
    followed.delete(1)
    followed.run()
    assert followed.recorder.changes == [("delete", person_dn(1))]
    found = followed.examine()
    assert "glue" not in found
    assert found["answer"].verdict is Verdict.OK


def test_what_the_persist_stage_leaves_out(run_server: RunServer, tmp_path: Path) -> None:
    """Why it is wrong to have a syncprov on both."""
    followed = Followed(run_server(Glued, both=True), tmp_path)
    with followed.client(PERSIST) as client:
        while not client.refreshed:
            client.poll(5)
        with followed.server.connected() as connection:
            change = [(ldap.MOD_REPLACE, "description", [b"changed"])]
            connection.modify_s(f"ou=groups,{SUFFIX}", change)
        followed.add(7)
        while not followed.recorder.of("change") and person_dn(7) not in followed.recorder.mirror:
            client.poll(5)
    assert not followed.recorder.of("change")


# --- an online import into 389-ds


def run_task(server: DS389, kind: str, file: Path) -> None:
    """Have the server export to a file, or import from it, while it runs."""
    name = f"cn={kind},cn={kind},cn=tasks,cn=config"
    attrs = {
        "objectClass": [b"top", b"extensibleObject"],
        "cn": [kind.encode()],
        "nsInstance": [b"userRoot"],
        "nsFilename": [str(file).encode()],
        "ttl": [b"1"],
    }
    with server.connected() as connection:
        connection.add_s(name, list(attrs.items()))

        def done() -> bool:
            (_, found), *_ = connection.search_s(name, ldap.SCOPE_BASE)
            connection.search_s(server.suffix, ldap.SCOPE_BASE)  # it is back
            return "nsTaskExitCode" in found

        wait_until(f"{kind} does not end", done)


IDENTITY = re.compile(r"(?mi)^(nsuniqueid|createtimestamp|entryuuid):.*\n")


@pytest.mark.parametrize("keeps_ids", [True, False])
def test_an_online_import(run_server: RunServer, tmp_path: Path, keeps_ids: bool) -> None:
    """Nothing is told of it, and cookies stay valid."""
    server = run_server(DS389)
    followed = Followed(server, tmp_path)
    followed.add(1)
    file = server.directory / "ldif" / "content.ldif"
    run_task(server, "export", file)
    followed.add(2)
    followed.run()
    followed.run()
    assert followed.resumed
    if not keeps_ids:
        file.write_text(IDENTITY.sub("", file.read_text()))
    run_task(server, "import", file)
    if not keeps_ids:
        assert "suffix entry" in followed.status()["server_lacks"]
        assert followed.examine()["store"].verdict is Verdict.FAILURE
    followed.run(lag_patience=0.3, max_deletes=None)
    assert not followed.resumed
    assert ("delete", person_dn(2)) in followed.recorder.changes
    assert (len(followed.recorder.changes) == 1) is keeps_ids
    followed.run()
    assert followed.resumed
    assert followed.recorder.changes == []
