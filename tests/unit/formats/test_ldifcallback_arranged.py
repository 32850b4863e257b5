# SPDX-License-Identifier: BSD-3-Clause
"""LDIFCallback.arrange(): what is written when, and what is not."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Callable
from uuid import UUID

import pytest

from syncrepl_client import Change, ChangeKind, LDIFCallback, Phase, exceptions
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import MemoryStore, Origin, SQLiteStore, Store
from tests.unit.formats.test_ldifcallback import dns

URL = "ldap://localhost/o=x?*?sub"
TOP: Attributes = {"objectClass": [b"organization"], "o": [b"x"]}
UNIT: Attributes = {"objectClass": [b"organizationalUnit"], "ou": [b"a"]}


class Writer:
    """A store whose changes a callback hears of."""

    def __init__(self, make: Callable[[], Store], url: str = URL) -> None:
        self.make = make
        self.stream = io.StringIO()
        self.callback = LDIFCallback(self.stream)
        self.store = make()
        self.store.create()
        self.store.begin()
        self.store.commit(Origin(url=url))
        self.callback.arrange(self.store)

    def restart(self) -> None:
        """Go on as another process."""
        self.store.close()
        self.store = self.make()
        self.callback = LDIFCallback(self.stream)
        self.callback.arrange(self.store)

    def add(self, name: str, attrs: Attributes) -> None:
        if not self.store.in_transaction:
            self.callback.debug("searching")
            self.store.begin()
        uuid = len(name).to_bytes(16, "big")
        change = Change(ChangeKind.ADD, UUID(bytes=uuid), Phase.REFRESH, None, name, None, attrs)
        self.callback.dispatch(change)
        self.store.put(Record(uuid, dn.key(name), name, attributes.encode(attrs)))

    def commit(self, *, done: bool = False) -> None:
        if done:
            self.callback.refresh_done(self.store.items())
        self.callback.before_commit()
        self.store.commit()

    def written(self) -> list[str]:
        """The DNs that were written since this was asked."""
        text = self.stream.getvalue()
        assert text.count("version: 1\n\n") == (1 if text else 0)
        self.stream.seek(0)
        self.stream.truncate()
        self.stream.write("version: 1\n\n" if text else "")
        return dns(text)


@pytest.fixture(params=["database", "memory"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    def database() -> Store:
        return SQLiteStore(str(tmp_path / "store"))

    writer = Writer(database if request.param == "database" else MemoryStore)
    yield writer
    writer.store.close()


def test_records_are_written_with_the_commit(writer: Writer) -> None:
    writer.add("ou=a,o=x", UNIT)
    writer.add("o=x", TOP)
    assert writer.written() == []
    writer.commit()
    assert writer.written() == ["o=x", "ou=a,o=x"]
    writer.add("ou=in,ou=a,o=x", UNIT)
    writer.commit(done=True)
    assert writer.written() == ["ou=in,ou=a,o=x"]


def test_what_is_rolled_back_is_not_written(writer: Writer) -> None:
    writer.add("o=x", TOP)
    writer.commit()
    writer.add("ou=a,o=x", UNIT)
    writer.store.rollback()
    writer.add("ou=b,o=x", UNIT)
    writer.commit()
    assert writer.written() == ["o=x", "ou=b,o=x"]


def test_what_waits_survives_the_process(tmp_path: Path) -> None:
    writer = Writer(lambda: SQLiteStore(str(tmp_path / "store")))
    writer.add("ou=a,o=x", UNIT)
    writer.commit()
    writer.restart()
    writer.add("o=x", TOP)
    writer.commit()
    assert writer.written() == ["o=x", "ou=a,o=x"]
    writer.store.close()


def test_without_a_database_the_callback_knows_what_waits() -> None:
    store = MemoryStore()
    writer = Writer(lambda: store)
    writer.add("ou=a,o=x", UNIT)
    writer.commit()
    store.close()
    writer.callback.arrange(store)
    writer.add("o=x", TOP)
    writer.commit()
    assert writer.written() == ["o=x", "ou=a,o=x"]


def test_a_parent_that_never_comes(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    writer.add("ou=in,ou=a,o=x", UNIT)
    writer.add("o=x", TOP)
    writer.commit(done=True)
    assert writer.written() == ["o=x", "ou=in,ou=a,o=x"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "syncrepl_client.formats.ldifcallback"
    assert "1 entry" in record.getMessage()
    assert "'ou=in,ou=a,o=x'" in record.getMessage()


def test_parents_that_a_filter_leaves_out_are_nothing_to_warn_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(MemoryStore, "ldap://localhost/o=x?*?sub?(uid=*)")
    writer.add("uid=a,ou=a,o=x", UNIT)
    with caplog.at_level(logging.INFO):
        writer.commit(done=True)
    assert writer.written() == ["uid=a,ou=a,o=x"]
    assert [(record.levelno, vars(record)["event"]) for record in caplog.records] == [
        (logging.INFO, "without-parent")
    ]


def test_one_level_has_no_parents() -> None:
    writer = Writer(MemoryStore, "ldap://localhost/o=x?*?one")
    writer.add("ou=a,o=x", UNIT)
    writer.commit(done=True)
    assert writer.written() == ["ou=a,o=x"]


def test_a_store_that_follows_nothing() -> None:
    callback, store = LDIFCallback(io.StringIO()), MemoryStore()
    for _ in range(2):
        with pytest.raises(exceptions.UsageError, match="make the Syncrepl first"):
            callback.arrange(store)
        store.create()
