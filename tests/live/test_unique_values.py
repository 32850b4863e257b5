# SPDX-License-Identifier: BSD-3-Clause
"""A value that moves from a deleted entry to a new one, and a target that lets one have it only.

docs/delivery.rst, "Unique values", has the answers.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest
from ldap.ldapobject import LDAPObject

from syncrepl_client import Attributes, BaseCallback, Syncrepl
from tests.faults.recorder import REFRESH_ONLY
from tests.live.test_ldif import PEOPLE, add_person, add_unit
from tests.live.test_ldif_arranged import Arranged
from tests.servers import Slapd
from tests.servers.people import SUFFIX

MAIL = b"one@example.com"
UNIQUE = {
    "extra_config": "moduleload unique",
    "extra_database": "overlay unique\nunique_uri ldap:///?mail?sub",
}


def move_mail(connection: LDAPObject) -> None:
    """One person leaves, and a new one gets the address."""
    connection.delete_s(f"uid=u0000001,{PEOPLE}")
    add_person(connection, 2, mail=MAIL)


@pytest.fixture
def pair(run_server: Callable[..., Any], tmp_path: Path) -> Arranged:
    """A source without people yet, and a target in which an address is one person's."""
    made = Arranged(run_server, tmp_path)
    made.target.remove()
    made.target = run_server(Slapd, syncprov=False, ldif="\n", **UNIQUE)
    return made


def test_ldapmodify_in_two_passes(pair: Arranged, tmp_path: Path) -> None:
    with pair.source.connected() as connection:
        add_unit(connection, "staff", SUFFIX)
        add_person(connection, 1, mail=MAIL)
        pair.catch_up()
        move_mail(connection)
    changes, refused = tmp_path / "changes.ldif", tmp_path / "refused.ldif"
    changes.write_text(pair.refresh(), encoding="utf-8")
    first = subprocess.run(
        [*pair.ldapmodify(), "-c", "-f", str(changes), "-S", str(refused)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert first.returncode == 19, first.stderr  # constraintViolation
    assert refused.read_text().count("\ndn: ") == 1
    pair.apply(refused.read_text())
    pair.equal()


class Accounts(BaseCallback):
    """Has a table in which an address is one account's."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def record_add(self, dn: str, attrs: Attributes) -> None:
        mail = attrs.get("mail", [b""])[0].decode() or None
        self._database.execute("UPDATE account SET mail = NULL WHERE mail = ?", (mail,))
        put = (
            "INSERT INTO account VALUES (?, ?) ON CONFLICT (dn) DO UPDATE SET mail = excluded.mail"
        )
        self._database.execute(put, (dn, mail))

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        self.record_add(dn, new_attrs)

    def record_delete(self, dn: str) -> None:
        self._database.execute("DELETE FROM account WHERE dn = ?", (dn,))


def accounts(database: sqlite3.Connection) -> Mapping[str, str]:
    return dict(database.execute("SELECT dn, mail FROM account WHERE mail NOT NULL"))


def test_a_table_whose_other_row_gives_it_up(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    server: Slapd = run_server(Slapd)
    url = f"{server.url}/{SUFFIX}??sub?(uid=*)"
    with closing(sqlite3.connect(":memory:")) as database, server.connected() as connection:
        database.execute("CREATE TABLE account (dn PRIMARY KEY, mail UNIQUE)")
        for change in (lambda it: add_person(it, 1, mail=MAIL), move_mail):
            change(connection)
            with Syncrepl(f"{tmp_path}/", Accounts(database), REFRESH_ONLY, url) as client:
                client.run()
                stored = client.store.items().items()
                expected = {dn: attrs["mail"][0].decode() for dn, attrs in stored}
            assert accounts(database) == expected
            assert MAIL.decode() in expected.values()
