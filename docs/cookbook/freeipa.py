# SPDX-License-Identifier: BSD-3-Clause
"""Follow the users of FreeIPA, with their groups, into a table, exactly once."""

import logging
import signal
import sqlite3
from collections.abc import Mapping

from syncrepl_client import Change, ChangeKind, PasswordFile, Syncrepl, SyncreplMode, Text, dn_key
from syncrepl_client.callbacks import Attributes, BaseCallback

SUFFIX = "dc=example,dc=com"
DATA_PATH = "state/freeipa-"
# The base leaves out cn=compat, which has copies of all users. The filter makes each start a whole
# refresh, though only differences are told: a resume would leave nsAccountLock as it was.
URL = (
    f"ldap://localhost/cn=users,cn=accounts,{SUFFIX}"
    "?uid,mail,nsAccountLock,memberOf?sub?(objectClass=posixAccount)"
    f"?bindname={f'uid=follower,cn=sysaccounts,cn=etc,{SUFFIX}'.replace(',', '%2C')}"
)
GROUPS = dn_key(f"cn=groups,cn=accounts,{SUFFIX}")

SCHEMA = """
CREATE TABLE IF NOT EXISTS account
    (uuid TEXT PRIMARY KEY, uid TEXT NOT NULL, mail TEXT, enabled INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS belongs
    (uuid TEXT NOT NULL, team TEXT NOT NULL, PRIMARY KEY (uuid, team));
"""

logger = logging.getLogger("freeipa")


class Accounts(BaseCallback):
    db: sqlite3.Connection

    def open(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.db.executescript(SCHEMA)

    def dispatch(self, change: Change) -> None:
        uuid = str(change.uuid)
        self.db.execute("DELETE FROM belongs WHERE uuid = ?", (uuid,))
        if change.kind is ChangeKind.DELETE:  # or preserved: that is in another subtree
            self.db.execute("DELETE FROM account WHERE uuid = ?", (uuid,))
        else:
            self.put(uuid, Text(change.new_attrs))

    def put(self, uuid: str, attrs: Text) -> None:
        enabled = (attrs.first("nsAccountLock") or "").lower() != "true"
        self.db.execute(
            "INSERT INTO account (uuid, uid, mail, enabled) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (uuid) DO UPDATE"
            " SET uid = excluded.uid, mail = excluded.mail, enabled = excluded.enabled",
            (uuid, attrs["uid"][0], attrs.first("mail"), enabled),
        )
        # The server's plug-in MemberOf lists the groups, those that contain groups too.
        teams = {name_of(dn) for dn in attrs.get("memberOf", ()) if dn_key(dn).startswith(GROUPS)}
        rows = [(uuid, team) for team in teams]
        self.db.executemany("INSERT INTO belongs (uuid, team) VALUES (?, ?)", rows)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        logger.info("in step with the directory: %d entries", len(items))


def name_of(dn: str) -> str:
    """Return the name of a group: FreeIPA allows no characters in it that would be escaped."""
    return dn.partition(",")[0].partition("=")[2]


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    accounts = Accounts()
    with Syncrepl(
        data_path=DATA_PATH,
        callback=accounts,
        mode=SyncreplMode.REFRESH_AND_PERSIST,
        ldap_url=URL,
        password=PasswordFile("password"),
        starttls=True,
    ) as client:
        accounts.open(client.store.connection)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        client.run()


if __name__ == "__main__":
    main()
