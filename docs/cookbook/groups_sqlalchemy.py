# SPDX-License-Identifier: BSD-3-Clause
"""Keep people and groups in tables that SQLAlchemy maps, in the store's own file, exactly once."""

import logging
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Optional

from sqlalchemy import Connection, create_engine, delete
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from syncrepl_client import Change, ChangeKind, Syncrepl, SyncreplMode, Text, dn_key
from syncrepl_client.callbacks import Attributes, BaseCallback

DATA_PATH = "state/orm-"
URL = (
    "ldap://localhost/dc=example,dc=com?objectClass,uid,cn,member?sub"
    "?(|(objectClass=inetOrgPerson)(objectClass=groupOfNames)(objectClass=organizationalUnit))"
)
RECONCILE_EVERY = 3600.0  # how long what the overlay refint did may be unknown

logger = logging.getLogger("groups")


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    uuid: Mapped[str] = mapped_column(primary_key=True)
    dn: Mapped[bytes] = mapped_column(unique=True)
    uid: Mapped[str]


class Team(Base):
    __tablename__ = "team"
    uuid: Mapped[str] = mapped_column(primary_key=True)
    dn: Mapped[bytes] = mapped_column(unique=True)
    name: Mapped[str]


class Member(Base):
    __tablename__ = "member"
    team: Mapped[str] = mapped_column(primary_key=True)
    dn: Mapped[bytes] = mapped_column(primary_key=True)


@contextmanager
def joined(connection: sqlite3.Connection) -> Iterator[Connection]:
    """Lend the store's connection to SQLAlchemy, which must not end a transaction on it.

    What SQLAlchemy takes for its transaction spans the whole run: it sends no BEGIN here.  Its
    COMMIT comes at the end, between two polls, where there is nothing to commit.
    """
    engine = create_engine(
        "sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None
    )
    with engine.connect() as lent, lent.begin():
        yield lent


class Groups(BaseCallback):
    """Writes in sessions that are savepoints of the library's transaction."""

    lent: Connection

    def open(self, lent: Connection) -> None:
        self.in_callback = lent
        Base.metadata.create_all(lent)

    def dispatch(self, change: Change) -> None:
        # A session for each change: nothing tells of a rollback, after which a longer one would
        # remember what is not there.
        with (
            Session(self.in_callback, join_transaction_mode="create_savepoint") as session,
            session.begin(),
        ):
            self.apply(session, change)

    def apply(self, session: Session, change: Change) -> None:
        uuid = str(change.uuid)
        if change.kind is ChangeKind.DELETE:
            session.execute(delete(Person).where(Person.uuid == uuid))
            session.execute(delete(Team).where(Team.uuid == uuid))
            session.execute(delete(Member).where(Member.team == uuid))
        elif change.new_dn is not None:
            self.put(session, uuid, change.new_dn, Text(change.new_attrs))
            old, new = members(change.old_attrs), members(change.new_attrs)
            for dn in old - new:
                session.delete(session.get_one(Member, (uuid, dn)))
            session.add_all(Member(team=uuid, dn=dn) for dn in new - old)

    def put(self, session: Session, uuid: str, dn: str, attrs: Text) -> None:
        classes = {name.lower() for name in attrs.get("objectClass", ())}
        if "groupofnames" in classes:
            session.merge(Team(uuid=uuid, dn=dn_key(dn), name=attrs.first("cn", dn)))
        elif "inetorgperson" in classes:
            session.merge(Person(uuid=uuid, dn=dn_key(dn), uid=attrs.first("uid", dn)))

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
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        with joined(client.store.connection) as lent:
            groups.open(lent)
            client.run()


if __name__ == "__main__":
    main()
