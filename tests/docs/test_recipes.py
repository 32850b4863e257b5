# SPDX-License-Identifier: BSD-3-Clause
"""The cookbook's cache, FreeIPA, hand-over."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest
from ldap.ldapobject import LDAPObject

from tests.docs.conftest import PEOPLE, Directory, Program
from tests.docs.snippets import COOKBOOK, DOCS, Block, recipe
from tests.patience import HANGS_SECONDS
from tests.servers import DS389
from tests.servers.people import SUFFIX, person, person_dn, uid
from tests.servers.process import free_port

Start = Callable[..., Program]


def test_every_recipe_has_a_test() -> None:
    here = Path(__file__).parent
    tests = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_*.py"))
    assert [path.name for path in COOKBOOK if f'"{path.name}"' not in tests] == []


def test_every_recipe_is_on_a_page() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("cookbook/*.rst"))
    assert [path.name for path in COOKBOOK if f":: {path.name}\n" not in pages] == []


# --- the cache


class Site:
    """The web service that answers from the cache."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        with closing(
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=HANGS_SECONDS)
        ) as site:
            site.request(method, path)
            answer = site.getresponse()
            return answer.status, json.load(answer)

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)

    def mail(self, number: int) -> str | None:
        status, found = self.get(f"/people/{uid(number)}")
        return str(found["mail"]) if status == 200 else None


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("PORT", str(port := free_port()))
    return Site(port)


def test_the_cache_follows(directory: Directory, site: Site, start: Start) -> None:
    running = start(recipe("cache.py"))
    running.wait_for(f"in step with the directory: {PEOPLE} people")
    assert site.get("/health") == (200, {"people": PEOPLE, "stale": 0})
    assert site.mail(0) == person(0)["mail"][0].decode()
    assert site.get("/people/nobody") == (404, None)
    directory.change()  # changes, renames and deletes the first three, adds a fourth
    running.wait_until(lambda: site.mail(1000) is not None, "new person")
    running.wait_until(lambda: site.mail(2) is None, "person deleted")
    assert site.mail(0) == "new.0@example.com"
    assert (site.mail(1), site.get("/people/renamed0")[0]) == (None, 200)
    running.stop()


def test_the_cache_is_stale_while_the_server_is_away(
    directory: Directory, site: Site, start: Start
) -> None:
    running = start(recipe("cache.py"))
    running.wait_for("in step with the directory")
    directory.server.stop()
    running.wait_until(lambda: site.get("/health")[1]["stale"] > 0, "staleness")
    assert site.mail(0) == person(0)["mail"][0].decode()
    directory.server.start()
    directory.change()
    running.wait_until(lambda: site.mail(0) == "new.0@example.com", "change")
    running.wait_until(lambda: site.get("/health")[1]["stale"] == 0, "freshness")
    running.stop()


def test_the_cache_waits_for_a_server_and_stops_meanwhile(
    directory: Directory, site: Site, start: Start
) -> None:
    directory.server.stop()
    running = start(recipe("cache.py"))
    running.wait_for("can't follow the directory; again in 5 s")
    assert site.get("/people/x") == (503, {"error": "the directory has not been read yet"})
    directory.server.start()
    running.wait_for("in step with the directory")
    directory.server.stop()
    running.stop()


def test_the_cache_reconciles_when_asked(directory: Directory, site: Site, start: Start) -> None:
    running = start(recipe("cache.py"))
    line = f"in step with the directory: {PEOPLE} people\n"
    running.wait_for(line)
    assert site.ask("POST", "/reconcile") == (202, None)
    running.wait_until(lambda: running.output().count(line) == 2, "second refresh")
    running.stop()


# --- FreeIPA

ACCOUNTS = f"cn=accounts,{SUFFIX}"
USERS, GROUPS = f"cn=users,{ACCOUNTS}", f"cn=groups,{ACCOUNTS}"
COMPAT = f"cn=users,cn=compat,{SUFFIX}"
STAGED = f"cn=deleted users,{ACCOUNTS.replace('accounts', 'accounts,cn=provisioning')}"


def add(connection: LDAPObject, dn: str, classes: Iterable[str], **attrs: str) -> None:
    values: list[tuple[str, Any]] = [(name, [value.encode()]) for name, value in attrs.items()]
    connection.add_s(dn, [("objectClass", [each.encode() for each in classes]), *values])


def add_user(connection: LDAPObject, name: str) -> None:
    unix = {"uidNumber": "1", "gidNumber": "1", "homeDirectory": f"/home/{name}"}
    classes = ("inetOrgPerson", "posixAccount", "inetUser")
    for base in (USERS, COMPAT):
        names = {"cn": name, "sn": name, "uid": name, "mail": f"{name}@example.com"}
        add(connection, f"uid={name},{base}", classes, **names, **unix)


@pytest.fixture
def freeipa(run_server: Callable[..., Any]) -> DS389:
    """389 Directory Server with a tree like FreeIPA's, and the plug-in MemberOf."""
    server: DS389 = run_server(DS389, anyone_syncs=False)
    with server.connected() as connection:
        plugin = "cn=MemberOf Plugin,cn=plugins,cn=config"
        connection.modify_s(plugin, [(ldap.MOD_REPLACE, "nsslapd-pluginEnabled", b"on")])
    server.restart()
    containers = ["etc", "sysaccounts,cn=etc", "accounts", "users,cn=accounts"]
    containers += ["groups,cn=accounts", "compat", "users,cn=compat", "provisioning"]
    containers += ["accounts,cn=provisioning", "deleted users,cn=accounts,cn=provisioning"]
    with server.connected() as connection:
        for each in containers:
            add(connection, f"cn={each},{SUFFIX}", ["nsContainer"], cn=each.partition(",")[0])
        follower = f"uid=follower,cn=sysaccounts,cn=etc,{SUFFIX}"
        classes = ["account", "simpleSecurityObject"]
        add(connection, follower, classes, uid="follower", userPassword="secret-secret")
        for name in ("ada", "ben", "cleo"):
            add_user(connection, name)
        add(connection, f"cn=staff,{GROUPS}", ["groupOfNames"], cn="staff")
        add(connection, f"cn=all,{GROUPS}", ["groupOfNames"], cn="all")
        join(connection, "staff", f"uid=ada,{USERS}")
        join(connection, "all", f"cn=staff,{GROUPS}")
    return server


def join(connection: LDAPObject, group: str, member: str) -> None:
    connection.modify_s(f"cn={group},{GROUPS}", [(ldap.MOD_ADD, "member", member.encode())])


def accounts() -> dict[str, tuple[bool, set[str]]]:
    """Whether each is enabled, and their groups, by the program's tables."""
    with closing(sqlite3.connect("state/freeipa-syncrepl.sqlite3")) as db:
        rows = db.execute("SELECT uuid, uid, enabled FROM account").fetchall()
        teams = db.execute("SELECT uuid, team FROM belongs").fetchall()
    return {
        name: (bool(enabled), {team for each, team in teams if each == uuid})
        for uuid, name, enabled in rows
    }


@pytest.fixture
def ipa_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Block:
    """The program, and what it needs; without TLS, as the tests' server has no certificate."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "password").write_text("secret-secret\n")
    (tmp_path / "password").chmod(0o600)
    block = recipe("freeipa.py")
    assert "starttls=True" in block.text
    return block._replace(text=block.text.replace("starttls=True", "starttls=False"))


def test_freeipa(freeipa: DS389, ipa_program: Block, launch: Start) -> None:
    running = launch(ipa_program, freeipa)
    running.wait_for("in step with the directory: 3 entries")
    everybody = {"ada": (True, {"staff", "all"}), "ben": (True, set()), "cleo": (True, set())}
    running.wait_until(lambda: accounts() == everybody, "commit")  # which follows that line
    with freeipa.connected() as connection:
        join(connection, "staff", f"uid=ben,{USERS}")
        lock = [(ldap.MOD_REPLACE, "nsAccountLock", b"TRUE")]
        connection.modify_s(f"uid=ada,{USERS}", lock)
        connection.rename_s(f"uid=cleo,{USERS}", "uid=cleo", STAGED)  # "preserved"
    expected = {"ada": (False, {"staff", "all"}), "ben": (True, {"staff", "all"})}
    running.wait_until(lambda: accounts() == expected, "change")
    running.stop()

    with freeipa.connected() as connection:  # while it does not run
        unlock = [(ldap.MOD_DELETE, "nsAccountLock", None)]
        connection.modify_s(f"uid=ada,{USERS}", unlock)
        connection.delete_s(f"cn=all,{GROUPS}")
        connection.rename_s(f"uid=cleo,{STAGED}", "uid=cleo", USERS)
        connection.delete_s(f"uid=ben,{USERS}")
    instants = [("told", 1), ("committing", 1), ("committed", 1)]
    for moment, number in instants:
        dying = launch(ipa_program, freeipa, "-m", "tests.docs.dying", moment, str(number), "--")
        dying.wait_for_kill()
    running = launch(ipa_program, freeipa)
    running.wait_for("in step with the directory: 2 entries")
    running.stop()
    assert accounts() == {"ada": (True, {"staff"}), "cleo": (True, set())}


# --- the hand-over


def addresses(path: str) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT dn, address FROM mail"))


def mails(directory: Directory) -> dict[str, str]:
    with directory.server.connected() as connection:
        found = connection.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=inetOrgPerson)")
    return {dn: attrs["mail"][0].decode() for dn, attrs in found}


def test_a_new_process_waits_for_the_old_one(directory: Directory, start: Start) -> None:
    block = recipe("handover.py")
    old = start(block, "--", "blue")
    old.wait_for("blue has taken over")
    new = start(block._replace(text=f"# handover_new.py\n{block.text}"), "--", "blue")
    new.wait_for("waiting for the old process to end")
    directory.change()
    old.stop()
    new.wait_for("blue has taken over")
    dn = directory.change()["added"]
    new.wait_until(lambda: dn in addresses("state/current"), dn)
    new.wait_until(lambda: addresses("state/current") == mails(directory), "equality")
    new.stop()
    assert new.output().count("waiting") == 1


def test_a_process_that_waits_can_be_stopped(directory: Directory, start: Start) -> None:
    block = recipe("handover.py")
    old = start(block, "--", "blue")
    old.wait_for("blue has taken over")
    new = start(block._replace(text=f"# handover_new.py\n{block.text}"), "--", "blue")
    new.wait_for("waiting for the old process to end")
    assert "StoreLocked" not in new.stop()
    old.stop()


def test_green_takes_over_from_blue(directory: Directory, start: Start, workplace: Path) -> None:
    block = recipe("handover.py")
    blue = start(block, "--", "blue")
    blue.wait_for("blue has taken over")
    current = workplace / "state" / "current"
    assert current.readlink() == Path("blue-syncrepl.sqlite3")
    (workplace / "state" / "current.new").symlink_to("left by a kill")
    green = start(block._replace(text=f"# handover_green.py\n{block.text}"), "--", "green")
    green.wait_for("green has taken over")
    assert current.readlink() == Path("green-syncrepl.sqlite3")
    assert addresses("state/current") == mails(directory)
    blue.stop()
    dn = directory.change()["added"]
    green.wait_until(lambda: dn in addresses("state/current"), dn)
    green.stop()
    assert person_dn(2) not in addresses("state/current")
