# SPDX-License-Identifier: BSD-3-Clause
"""What the doctor says is to be done, is done, and then nothing fails."""

from __future__ import annotations

import subprocess
from typing import Any, Callable
from urllib.parse import quote

import ldap
import pytest

from syncrepl_client.doctor import Verdict
from syncrepl_client.entries.attributes import Attributes
from tests.docs.test_setup import WithConfigDatabase
from tests.live.test_doctor import EVERYTHING, examine, failures, found, touch
from tests.servers import DS389, Server, Slapd
from tests.servers.people import people_entries, people_ldif, person, person_dn
from tests.servers.process import find_program

PEOPLE = 100
READER = person_dn(1)
PASSWORD = "open sesame"


def follow(command: tuple[str, ...], *changes: tuple[str, str]) -> None:
    """Paste the commands into a shell, with another server and password."""
    program = find_program("ldapmodify", "ldap-utils")
    text = "\n".join(command).replace("ldapmodify", program)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def reader() -> Attributes:
    return {**person(1), "userPassword": [PASSWORD.encode()]}


def where(server: Server) -> str:
    return f"{server.url}{EVERYTHING}??bindname={quote(READER, safe='=')}"


def test_openldap(run_server: Callable[..., Any]) -> None:
    server = run_server(WithConfigDatabase, sizelimit=50, ldif=people_ldif(PEOPLE))
    with server.connected() as connection:
        connection.delete_s(READER)
        connection.add_s(READER, list(reader().items()))
    here = ("ldapi:///", server.ldapi_url)
    findings = examine(where(server), password=PASSWORD)
    assert failures(findings) == ["sync control", "limits"]
    for subject in ("limits", "sync control"):
        follow(found(findings, subject).advice.commands, here)
    server.restart()  # there were other limits
    touch(server)
    findings = examine(where(server), password=PASSWORD)
    poor = [each for each in findings if each.verdict in (Verdict.FAILURE, Verdict.WARNING)]
    assert poor == []


def test_language_tags(run_server: Callable[..., Any]) -> None:
    server = run_server(Slapd)
    attributes = found(examine(f"{server.url}{EVERYTHING}"), "attributes")
    assert attributes.verdict is Verdict.OK
    lines = "\n".join(attributes.advice.commands)
    server = run_server(Slapd, extra_config=lines, ldif=people_ldif(2))
    with server.connected() as connection:
        connection.modify_s(person_dn(1), [(ldap.MOD_ADD, "description;lang-en", [b"x"])])
        with pytest.raises(ldap.UNDEFINED_TYPE):
            connection.modify_s(person_dn(1), [(ldap.MOD_ADD, "description;lang-a1", [b"x"])])


def test_a_session_log(run_server: Callable[..., Any]) -> None:
    class Logless(WithConfigDatabase):
        def _global_config(self) -> str:
            return super()._global_config() + "\nmoduleload syncprov\n"

    server = run_server(Logless, extra_database="overlay syncprov")
    as_root = f"{server.ldapi_url}{EVERYTHING}??bindname=EXTERNAL"
    log = found(examine(as_root), "session log")
    assert log.verdict is Verdict.WARNING
    assert log.found.startswith("none: ")
    anybody = found(examine(f"{server.url}{EVERYTHING}"), "session log")
    assert anybody.verdict is Verdict.UNKNOWN
    assert anybody.advice.commands[1:] == log.advice.commands
    follow(log.advice.commands, ("ldapi:///", server.ldapi_url))
    new = found(examine(as_root), "session log")  # and not what was just done
    assert (new.verdict, new.advice.text) == (Verdict.OK, "")
    assert "nothing in it yet" in new.found
    for number in (1, 2):
        with server.connected() as connection:
            connection.add_s(person_dn(number), list(person(number).items()))
    findings = examine(f"{server.url}{EVERYTHING}")
    assert found(findings, "session log").verdict is Verdict.OK


def test_389_ds(run_server: Callable[..., Any]) -> None:
    server = run_server(DS389)
    with server.connected() as connection:
        for name, attrs in people_entries(PEOPLE):
            attrs = reader() if name == READER else attrs
            connection.add_s(name, list(attrs.items()))
        connection.modify_s("cn=config", [(ldap.MOD_REPLACE, "nsslapd-sizelimit", b"50")])
    findings = examine(where(server), password=PASSWORD)
    assert "limits" in failures(findings)
    follow(
        found(findings, "limits").advice.commands,
        ("-W", f"-w {server.root_pw}"),
        ("ldap://localhost", server.url),
    )
    assert failures(examine(where(server), password=PASSWORD)) == []
