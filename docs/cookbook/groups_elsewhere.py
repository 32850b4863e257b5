# SPDX-License-Identifier: BSD-3-Clause
"""Keep the people of a directory in another database: at least once, through an outbox."""

import logging
import signal
import sqlite3
from collections.abc import Mapping
from typing import Optional

from sqlalchemy import Engine, create_engine, delete
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from syncrepl_client import Change, ChangeKind, Syncrepl, SyncreplMode, Text
from syncrepl_client.callbacks import Attributes, BaseCallback

DATABASE = "sqlite:///state/application.sqlite3"  # postgresql+psycopg://host/application
DATA_PATH = "state/elsewhere-"
URL = "ldap://localhost/dc=example,dc=com?uid,mail?sub?(objectClass=inetOrgPerson)"
AT_ONCE = 1000

logger = logging.getLogger("elsewhere")


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    uuid: Mapped[str] = mapped_column(primary_key=True)  # the DN may change, this does not
    uid: Mapped[Optional[str]]
    mail: Mapped[Optional[str]]


class Outbox(BaseCallback):
    """Keeps what is to be delivered in a table that commits with the change and the cookie."""

    db: sqlite3.Connection

    def open(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " uuid TEXT NOT NULL, gone INTEGER NOT NULL, uid TEXT, mail TEXT)"
        )

    def dispatch(self, change: Change) -> None:
        attrs, gone = Text(change.new_attrs), change.kind is ChangeKind.DELETE
        self.db.execute(
            "INSERT INTO outbox (uuid, gone, uid, mail) VALUES (?, ?, ?, ?)",
            (str(change.uuid), gone, attrs.first("uid"), attrs.first("mail")),
        )

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        logger.info("in step with the directory: %d entries", len(items))


def deliver(outbox: sqlite3.Connection, engine: Engine) -> None:
    """Apply what is in the outbox, and remove it; what is left waits until the next time."""
    select = "SELECT number, uuid, gone, uid, mail FROM outbox ORDER BY number LIMIT ?"
    try:
        while rows := outbox.execute(select, (AT_ONCE,)).fetchall():
            with Session(engine) as session, session.begin():
                for _, uuid, gone, uid, mail in rows:
                    if gone:
                        session.execute(delete(Person).where(Person.uuid == uuid))
                    else:
                        session.merge(Person(uuid=uuid, uid=uid, mail=mail))
            # A process that ends here applies these rows once more: each sets a whole state.
            outbox.execute("DELETE FROM outbox WHERE number <= ?", (rows[-1][0],))
    except OperationalError as error:
        logger.warning("the database can't be used now: %s", error.orig)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    engine = create_engine(DATABASE)
    Base.metadata.create_all(engine)
    outbox = Outbox()
    with Syncrepl(DATA_PATH, outbox, SyncreplMode.REFRESH_AND_PERSIST, URL) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        outbox.open(client.store.connection)
        going_on = True
        while going_on:
            deliver(client.store.connection, engine)  # first what an earlier run has left
            going_on = client.poll(timeout=3)
        deliver(client.store.connection, engine)
    engine.dispose()


if __name__ == "__main__":
    main()
