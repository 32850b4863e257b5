# SPDX-License-Identifier: BSD-3-Clause
"""Keep people and groups in tables of a web application in PostgreSQL, exactly once."""

import logging
import signal
from collections.abc import Mapping
from typing import Any, Optional
from uuid import UUID

import psycopg

from syncrepl_client import Change, ChangeKind, Syncrepl, SyncreplMode, Text, dn_key
from syncrepl_client.callbacks import Attributes, BaseCallback

DATA_PATH = "postgresql:///directory"  # the store is in a schema of its own, "syncrepl"
URL = (
    "ldap://localhost/dc=example,dc=com?objectClass,uid,cn,member?sub"
    # The containers too: the server does not tell of a renamed one that the filter hides.
    "?(|(objectClass=inetOrgPerson)(objectClass=groupOfNames)(objectClass=organizationalUnit))"
)
# OpenLDAP's overlay refint removes deleted people from groups, and does not report it: an hour is
# how long they may still be members here.
RECONCILE_EVERY = 3600.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS person
    (uuid uuid PRIMARY KEY, dn bytea NOT NULL UNIQUE, uid text NOT NULL);
CREATE TABLE IF NOT EXISTS team
    (uuid uuid PRIMARY KEY, dn bytea NOT NULL UNIQUE, name text NOT NULL);
CREATE TABLE IF NOT EXISTS member  -- as the groups say: a person, another group, or nobody
    (team uuid NOT NULL, dn bytea NOT NULL, PRIMARY KEY (team, dn));
CREATE OR REPLACE VIEW belongs AS  -- who is in which group, also through other groups
    WITH RECURSIVE inside (team, dn) AS (
        SELECT team, dn FROM member
        UNION
        SELECT inside.team, member.dn FROM inside
            JOIN team ON team.dn = inside.dn
            JOIN member ON member.team = team.uuid
    )
    SELECT person.uid AS uid, team.name AS team FROM inside
        JOIN person ON person.dn = inside.dn
        JOIN team ON team.uuid = inside.team;
"""

logger = logging.getLogger("groups")


class Groups(BaseCallback):
    """Writes through the store's own connection: rows commit with the change and the cookie."""

    client: Syncrepl

    def open(self, client: Syncrepl) -> None:
        """Make the tables where they are missing; no transaction is open between two polls."""
        self.client = client
        self.db.execute(SCHEMA)

    @property
    def db(self) -> psycopg.Connection[Any]:
        """The store's connection, which is another one after it was lost."""
        connection: psycopg.Connection[Any] = self.client.store.connection
        return connection

    def dispatch(self, change: Change) -> None:
        uuid = change.uuid
        if change.kind is ChangeKind.DELETE:
            for table, column in (("person", "uuid"), ("team", "uuid"), ("member", "team")):
                self.db.execute(f"DELETE FROM {table} WHERE {column} = %s", (uuid,))
        elif change.new_dn is not None:
            self.put(uuid, change.new_dn, Text(change.new_attrs))
            self.update_members(uuid, members(change.old_attrs), members(change.new_attrs))

    def put(self, uuid: UUID, dn: str, attrs: Text) -> None:
        """Insert or update a person or a group; an organizational unit is neither."""
        classes = {name.lower() for name in attrs.get("objectClass", ())}
        if "groupofnames" in classes:
            table, column, value = "team", "name", attrs.first("cn", dn)
        elif "inetorgperson" in classes:
            table, column, value = "person", "uid", attrs.first("uid", dn)
        else:
            return
        self.db.execute(
            f"INSERT INTO {table} (uuid, dn, {column}) VALUES (%s, %s, %s)"
            f" ON CONFLICT (uuid) DO UPDATE SET dn = excluded.dn, {column} = excluded.{column}",
            (uuid, dn_key(dn), value),
        )

    def update_members(self, team: UUID, old: set[bytes], new: set[bytes]) -> None:
        gone, come = ([(team, dn) for dn in dns] for dns in (old - new, new - old))
        with self.db.cursor() as cursor:
            cursor.executemany("DELETE FROM member WHERE team = %s AND dn = %s", gone)
            cursor.executemany("INSERT INTO member (team, dn) VALUES (%s, %s)", come)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        logger.info("in step with the directory: %d entries", len(items))


def members(attrs: Optional[Attributes]) -> set[bytes]:
    """Return the members of a group: DNs in normal form, as each may be written in many ways."""
    found = set()
    for value in (attrs or {}).get("member", ()):
        try:
            found.add(dn_key(value.decode()))
        except ValueError:
            logger.warning("a group has a member that is no DN: %r", value)
    return found


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    groups = Groups()
    with Syncrepl(
        DATA_PATH,
        groups,
        SyncreplMode.REFRESH_AND_PERSIST,
        URL,
        reconcile_every=RECONCILE_EVERY,
    ) as client:
        groups.open(client)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        client.run()


if __name__ == "__main__":
    main()
