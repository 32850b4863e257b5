# SPDX-License-Identifier: BSD-3-Clause
"""docs/migrating.rst names everything that programs come from, and is right about it."""

from __future__ import annotations

import dbm.dumb
import re
import shlex
import subprocess
from pathlib import Path

from ldap.syncrepl import SyncreplConsumer

import syncrepl_client
from syncrepl_client import Syncrepl, SyncreplMode, callbacks, exceptions
from syncrepl_client.callbacks import Attributes, BaseCallback
from tests.docs.conftest import PEOPLE, Directory
from tests.docs.snippets import ALL, DOCS, here
from tests.servers.process import find_program

TEXT = (DOCS / "migrating.rst").read_text(encoding="utf-8")
# What syncrepl-client 0.95.1 has, read in the package.
CLIENT = """Syncrepl SyncreplMode poll run please_stop unbind sync deleted syncrepl_get_cookie
    syncrepl_set_cookie syncrepl_refreshdone syncrepl_delete syncrepl_present syncrepl_entry"""
CALLBACKS = """BaseCallback LoggingCallback bind_complete refresh_done record_add record_delete
    record_rename record_change cookie_change debug"""
EXCEPTIONS = "ClosedError LDAPUrlError LDAPUrlConflict LDAPUrlParseError"
FILES = ("data", "uuid_map", "dn_map", "attrs")


def table(name: str) -> str:
    """The text of the table of that class."""
    return TEXT.split(f":class: {name}\n")[1].split("\n\n\n")[0].split("\n\nGone")[0]


def test_every_method_of_syncreplconsumer_is_there() -> None:
    methods = {name for name in vars(SyncreplConsumer) if name.startswith("syncrepl_")}
    assert methods == set(re.findall(r"syncrepl_\w+", table("from-consumer"))) - {"syncrepl_client"}


def test_every_name_of_the_first_client_is_there() -> None:
    rows = table("from-client")
    named = set(
        re.findall(r"\b\w+\b", "".join(re.findall(r"^   \* - .*\n(?:       .*\n)*", rows, re.M)))
    )
    assert {*CLIENT.split(), *CALLBACKS.split(), *EXCEPTIONS.split()} - named == set()
    assert all(f"``{name}``" in TEXT or f"{name}``" in TEXT for name in FILES)


def test_what_is_said_to_be_the_same_is_here() -> None:
    gone = {"sync", "deleted", "LDAPUrlParseError"}
    for names, owners in (
        (CLIENT, (Syncrepl, syncrepl_client)),
        (CALLBACKS, (BaseCallback, callbacks)),
        (EXCEPTIONS, (exceptions,)),
    ):
        for name in set(names.split()) - gone:
            if not name.startswith("syncrepl_"):
                assert any(hasattr(owner, name) for owner in owners), name
    assert issubclass(exceptions.LDAPUrlConflict, exceptions.ConfigurationError)
    assert not issubclass(exceptions.LDAPUrlConflict, exceptions.LDAPUrlError)


class Old(BaseCallback):
    """A callback as 0.9x wants it."""

    dns: list[str] = []  # noqa: RUF012 - as a class method would have it

    @classmethod
    def record_add(cls, dn: str, attrs: Attributes) -> None:
        cls.dns.append(dn)


def test_old_data_files_are_left_alone(directory: Directory, workplace: Path) -> None:
    for name in FILES:
        with dbm.dumb.open(f"state/{name}", "n") as file:
            file[b"cookie"] = b"a pickle"
    before = {path: path.read_bytes() for path in (workplace / "state").iterdir()}
    url = f"{directory.server.url}/dc=example,dc=com??sub?(objectClass=person)"
    with Syncrepl("state/", Old, SyncreplMode.REFRESH_ONLY, url) as client:
        client.run()
    assert len(Old.dns) == PEOPLE
    after = {path: path.read_bytes() for path in (workplace / "state").iterdir() if path in before}
    assert after == before
    assert (workplace / "state" / "syncrepl.sqlite3").exists()


def test_ldapsearch_and_the_url_say_the_same(directory: Directory, workplace: Path) -> None:
    blocks = {block.name: block.text for block in ALL if block.document == "migrating.rst"}
    (workplace / "password").write_text("secret")
    (workplace / "password").chmod(0o600)
    command = shlex.split(blocks["ldapsearch"].removeprefix("$ "))
    command[0] = find_program("ldapsearch", "ldap-utils")
    command[command.index("ldap://localhost")] = directory.server.url
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    dns = re.findall(r"^dn: (.*)$", done.stdout.replace("\n ", ""), re.MULTILINE)
    url = here(blocks["ldapsearch-url"].strip(), directory.server)
    password = syncrepl_client.PasswordFile("password")
    with Syncrepl(
        "state/", BaseCallback, SyncreplMode.REFRESH_ONLY, url, password=password
    ) as client:
        client.run()
        items = dict(client.store.items())
    assert sorted(items) == sorted(dns)
    assert len(items) == PEOPLE
    assert {name for attrs in items.values() for name in attrs} == {"cn", "mail"}
