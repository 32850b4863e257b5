# SPDX-License-Identifier: BSD-3-Clause
"""What the PostgreSQL store promises beyond what every store does."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest
from psycopg.rows import dict_row

from syncrepl_client import Changelog
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries import attributes, dn
from syncrepl_client.exceptions import (
    ConfigurationError,
    StoreBusy,
    StoreError,
    StoreInvalid,
    StoreLocked,
    StoreLost,
    StorePathError,
    StoreVersionError,
)
from syncrepl_client.protocol.view import Record
from syncrepl_client.sinks import Relay
from syncrepl_client.store import (
    PostgreSQL,
    PostgreSQLStore,
    SQLiteStore,
    open_changelog,
    open_store,
    read_store,
    store_exists,
)
from syncrepl_client.store.postgresql import leases, session
from syncrepl_client.store.postgresql.database import Database
from syncrepl_client.testing import Feed
from tests.contract.places import (
    Schema,
    consistent,
    die,
    displaced,
    fill,
    in_child,
    origin,
    record,
    reference,
    uid,
)
from tests.contract.test_sinks import Queue, QueueSink
from tests.patience import HANGS_SECONDS
from tests.servers.middle import silent_listener
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL as Server


@pytest.fixture
def place(postgresql: Server, tmp_path: Path) -> Iterator[Schema]:
    place = Schema(postgresql, tmp_path)
    yield place
    place.close()


@pytest.fixture
def store(place: Schema) -> PostgreSQLStore:
    return made(place)


def made(place: Schema, *records: Record) -> PostgreSQLStore:
    store = place.create(*records, cookie=b"c")
    assert isinstance(store, PostgreSQLStore)
    return store


# --- where it is


def test_a_url_is_a_data_path(postgresql: Server) -> None:
    with closing(open_store("sqlite", postgresql.socket_url)) as store:
        assert isinstance(store, PostgreSQLStore)
        assert store.place == PostgreSQL(postgresql.socket_url, schema="syncrepl")
        assert not store.exists
    with closing(PostgreSQLStore(postgresql.url.replace("postgresql:", "postgres:"))) as store:
        assert not store.exists


def test_libpq_finds_it(
    place: Schema, postgresql: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its service file, by the environment, and among several hosts."""
    made(place).close()
    services = tmp_path / "pg_service.conf"
    services.write_text(
        f"[mine]\nhost={postgresql.directory}\nport={postgresql.port}\nuser=postgres\n"
    )
    for name, value in {
        "PGSERVICEFILE": str(services), "PGHOST": str(postgresql.directory), "PGUSER": "postgres",
        "PGPORT": str(postgresql.port), "PGDATABASE": "postgres",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    several = f"127.0.0.1:1,127.0.0.1:{postgresql.port}"
    for url in (
        "postgresql://?service=mine",
        "service=mine",
        "postgresql://",
        f"postgresql://postgres:{postgresql.password}@{several}/postgres",
    ):
        assert store_exists(PostgreSQL(url, schema=place.name))


def test_stores_of_one_database_have_schemas(postgresql: Server, tmp_path: Path) -> None:
    places = [Schema(postgresql, tmp_path) for _ in range(2)]
    stores = [made(place, record(number)) for number, place in enumerate(places)]
    assert [list(store.live()) for store in stores] == [[record(0)], [record(1)]]
    for place in places:
        place.close()


@pytest.mark.parametrize("schema", ["", "pg_mine", "a-b", 'a"b', "é", "x" * 64, None])
def test_names_of_schemas(schema: Any) -> None:
    with pytest.raises(ConfigurationError, match="schema"):
        PostgreSQL("postgresql://", schema=schema)


def test_other_stores_are_not_there(postgresql: Server) -> None:
    with pytest.raises(ConfigurationError, match="can't be at"):
        open_store("shelve", postgresql.url)
    with pytest.raises(ConfigurationError, match="not the URL"):
        open_store("postgresql", "state/")
    with pytest.raises(ConfigurationError, match="str"):
        PostgreSQL(b"postgresql://")  # type: ignore[arg-type]


def test_nothing_there(place: Schema) -> None:
    assert not store_exists(place.where)
    for look in (read_store, open_changelog):
        with pytest.raises(StorePathError, match="no data store"):
            look(place.where)
    assert place.files() == {}


# --- passwords


@pytest.mark.parametrize("url", [
    "postgresql://me:s3cret@host/db", "postgres://me:s3cret@host,other/db?sslmode=require",
    "postgresql://host/db?user=me&password=s3cret", "postgresql://?user=me@x&password=s3cret",
    "host=db password=s3cret", "postgresql://me:s3?cret@host", "postgresql://me:s3@cret@host/",
])  # fmt: skip
def test_passwords_are_not_shown(url: str) -> None:
    place = PostgreSQL(url)
    relay = Relay(place, QueueSink(Queue()), name="me")
    relay_by_url = Relay(url, QueueSink(Queue()), name="me") if "://" in url else relay
    assert place.has_password is (url != "postgresql://me:s3?cret@host")  # which libpq refuses
    assert not PostgreSQL("postgresql://me@host:5432/db?user=me&sslmode=require").has_password
    for text in (str(place), repr(place), repr(relay), repr(relay_by_url)):
        assert "s3" not in text
        assert "cret" not in text


@pytest.mark.parametrize("url", [
    "postgresql://me:s3cret@host:port/db?x=y", "postgresql://me:s3cret@host/db?sslmode",
    "postgresql://me:s3cret@ho[st", "postgresql://me:s3cret%@host",
])  # fmt: skip
def test_a_bad_url_is_not_quoted(url: str) -> None:
    with pytest.raises((ConfigurationError, StoreError)) as caught:
        PostgreSQLStore(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_a_wrong_password(postgresql: Server) -> None:
    url = postgresql.url.replace(postgresql.password, "wr0ng")
    with pytest.raises(StoreError, match="authentication failed") as caught:
        PostgreSQLStore(url)
    assert "wr0ng" not in str(caught.value)


def test_a_password_is_not_stored(postgresql: Server, tmp_path: Path) -> None:
    place = Schema(postgresql, tmp_path)
    place.where = PostgreSQL(postgresql.url, schema=place.name)
    made(place, record(1))
    tables = (f"{place.name}.syncrepl_entry", f"{place.name}.syncrepl_origin")
    for table in tables:
        rows = postgresql.execute(f"SELECT each::text FROM {table} AS each")
        assert rows
        assert postgresql.password not in str(rows)
    place.close()


def test_a_warning_where_a_password_is_in_clear(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    PostgreSQLStore(postgresql.url).close()
    assert not caplog.records
    monkeypatch.setattr(session, "_is_local", lambda info: False)
    PostgreSQLStore(postgresql.socket_url).close()  # without a password
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        PostgreSQLStore(postgresql.url).close()
    (warning,) = caplog.records
    assert warning.event == "risk"  # type: ignore[attr-defined]
    assert "TLS" in warning.message
    assert postgresql.password not in warning.message


def test_a_warning_where_nobody_checks_the_certificate(
    run_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    server = run_server(Server, tls=True)
    monkeypatch.setattr(session, "_is_local", lambda info: False)
    PostgreSQLStore(f"{server.url}?sslmode=verify-full&sslrootcert={server.ca_file}").close()
    assert not caplog.records
    for mode in ("", "?sslmode=require"):  # the first is libpq's default
        PostgreSQLStore(f"{server.url}{mode}").close()
        warning = caplog.records.pop()
        assert warning.event == "risk"
        assert "not checked whose certificate" in warning.message
        assert server.password not in warning.message
    assert not caplog.records
    with pytest.raises(StoreError, match="certificate"):
        PostgreSQLStore(f"{server.url}?sslmode=verify-full&sslrootcert={__file__}")


# --- one client


def test_one_client_at_a_time(place: Schema) -> None:
    store = made(place, record(1))
    with pytest.raises(StoreLocked, match="in use"):
        place.open()
    with read_store(place.where) as reader:
        assert reader.in_use
    store.close()
    with read_store(place.where) as reader:
        assert not reader.in_use
    assert len(place.open()) == 1


def test_two_that_create_it(place: Schema) -> None:
    first, second = place.open(), place.open()
    first.create()
    with pytest.raises(StoreLocked):
        second.create()
    assert not second.exists


def test_a_kill_leaves_the_last_commit(place: Schema) -> None:
    def dies() -> None:
        store = open_store("postgresql", place.where)
        fill(store, record(2), cookie=b"2")
        store.begin()
        store.put(record(3))
        store.connection.execute("SELECT 1")
        die()

    made(place, record(1)).close()
    assert in_child(dies) == -signal.SIGKILL
    store = place.open()
    assert list(store.live()) == [record(1), record(2)]
    assert store.origin == origin(b"2")


def test_a_fork_leaves_it_to_the_parent(place: Schema) -> None:
    store = made(place, record(1))

    def uses_it() -> None:
        with pytest.raises(StoreError):
            store.get(uid(7))

    assert in_child(uses_it) == 0
    assert store.get(uid(1)) == record(1)


def test_a_pooler_must_keep_sessions_apart(
    postgresql: Server, run_server: Callable[..., Any], place: Schema
) -> None:
    transactions = run_server(PgBouncer, server=postgresql, mode="transaction").url
    sessions = run_server(PgBouncer, server=postgresql, mode="session").url
    for url in (transactions, sessions):
        with pytest.raises(StoreError, match=r"PgBouncer.* add session_pooling=true"):
            PostgreSQLStore(url)
    with pytest.raises(StoreError, match="it pools transactions"):
        PostgreSQLStore(PostgreSQL(transactions, session_pooling=True))
    made(place, record(1)).close()
    behind = PostgreSQL(f"{sessions}?session_pooling=true", schema=place.name)
    with closing(PostgreSQLStore(behind)) as store:
        fill(store, record(2), cookie=b"d")
        with pytest.raises(StoreLocked):
            PostgreSQLStore(behind)
    with read_store(behind) as reader:
        assert (len(reader), reader.in_use) == (2, False)


@pytest.mark.parametrize(("url", "rest", "said"), [
    ("postgresql://h/db?session_pooling=true", "postgresql://h/db", True),
    ("postgresql://?a=b&session_pooling=true&c=d", "postgresql://?a=b&c=d", True),
    ("postgresql://?a=b&session_pooling=true", "postgresql://?a=b", True),
    ("postgresql://?session_pooling=false", "postgresql://?session_pooling=false", False),
    ("host=x", "host=x", False),
])  # fmt: skip
def test_who_says_that_sessions_are_pooled(url: str, rest: str, said: bool) -> None:
    place = PostgreSQL(url)
    assert (place.url, place.session_pooling) == (rest, said)
    assert PostgreSQL("host=x", session_pooling=True).session_pooling


def test_a_server_that_does_not_answer(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """To connect ends soon, also if nobody answers, or nobody any more."""
    monkeypatch.setattr(session, "_CONNECT_SECONDS", 2)
    with silent_listener() as url, pytest.raises(StoreError, match="timeout expired"):
        PostgreSQLStore(url.replace("ldaps:", "postgresql:"))
    monkeypatch.setattr(session, "_IDENTITY", "SELECT pg_backend_pid(), '' FROM pg_sleep(3600)")
    with pytest.raises(StoreError, match="did not answer within 2 s"):
        PostgreSQLStore(postgresql.socket_url)


def test_an_old_server_is_refused(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", 130012)
    with pytest.raises(StoreError, match="PostgreSQL 13: 14 or later"):
        PostgreSQLStore(postgresql.socket_url)


def test_who_was_replaced_commits_nothing(place: Schema) -> None:
    """The lock went with a session of which this one does not know."""
    store = made(place, record(1))
    store.begin()
    store.put(record(2))
    place.server.execute(f"UPDATE {place.name}.syncrepl_origin SET term = term + 1")
    with pytest.raises(StoreLost, match="taken over"):
        store.commit(origin(b"2"))
    store.close()
    assert list(place.open().live()) == [record(1)]


def test_the_lock_of_a_sink_has_a_lease(place: Schema) -> None:
    """Whoever has it, and does nothing for so long, loses it."""
    with closing(made(place)) as store:
        changelog = Changelog()
        store.log.create()
        store.log.set(changelog.encode())
    with open_changelog(place.where, lease=2) as held, open_changelog(place.where) as other:
        held.lock("crm")
        with pytest.raises(StoreLocked):
            other.lock("crm")
        deadline = time.monotonic() + HANGS_SECONDS
        while True:
            with suppress(StoreLocked):
                other.lock("crm")
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(StoreLost):
            held.lock("crm")


def test_parameters_of_the_user_win(place: Schema) -> None:
    url = f"{place.server.url}?tcp_user_timeout=1234&connect_timeout=7"
    with closing(PostgreSQLStore(PostgreSQL(url, schema=place.name), lease=20)) as store:
        found = store.connection.info.get_parameters()
        assert (found["tcp_user_timeout"], found["connect_timeout"]) == ("1234", "7")
        assert (found["keepalives_idle"], found["target_session_attrs"]) == ("5", "primary")
        assert store.connection.execute("SHOW idle_session_timeout").fetchall() == [("20s",)]


def test_a_service_that_does_not_tell_its_timeline(
    place: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(place)
    assert store.holder is not None
    assert store.holder.timeline == 1
    store.close()
    monkeypatch.setattr(leases, "TIMELINE", "SELECT no_such_function()")
    store = made(place)
    assert store.holder is not None
    assert (store.holder.term, store.holder.timeline) == (2, 0)


def test_a_session_of_one_s_own_is_ended(place: Schema) -> None:
    """A connection broke, and the server does not know of that yet."""
    store = made(place, record(1))
    old = store.connection
    store._database._session = None
    with closing(old):
        assert store.take()
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
    assert list(store.live()) == [record(1)]
    assert store.holder is not None
    assert store.holder.term == 2


# --- what is in the schema


@pytest.mark.parametrize("statement", [
    "CREATE TABLE {0}.mine (id integer)",
    "CREATE VIEW {0}.syncrepl_entry AS SELECT 1",
    "CREATE VIEW {0}.syncrepl_origin AS SELECT 5 AS format",
    "CREATE TABLE {0}.syncrepl_origin (format integer)",
])  # fmt: skip
def test_something_else_in_the_schema(place: Schema, statement: str) -> None:
    place.server.execute(f"CREATE SCHEMA {place.name}")
    place.server.execute(statement.format(place.name))
    before = place.files()
    for look in (lambda: place.open(), lambda: read_store(place.where)):
        with pytest.raises(StoreInvalid, match=r"left as it is|no format version"):
            look()
    assert place.files() == before


TRIGGER = """CREATE TRIGGER evil BEFORE UPDATE ON {0}.syncrepl_origin
FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"""


@pytest.mark.parametrize("statement", [
    "ALTER TABLE {0}.syncrepl_entry ADD COLUMN more text",
    "ALTER TABLE {0}.syncrepl_entry ALTER dn TYPE text USING ''",
    "ALTER TABLE {0}.syncrepl_origin DROP COLUMN known",
    "DROP TABLE {0}.syncrepl_entry",
    "CREATE RULE evil AS ON INSERT TO {0}.syncrepl_entry DO INSTEAD NOTHING",
    TRIGGER,
    "UPDATE {0}.syncrepl_origin SET format = 4",
    "DELETE FROM {0}.syncrepl_origin",
])  # fmt: skip
def test_a_store_that_is_not_as_it_was_made(place: Schema, statement: str) -> None:
    made(place, record(1)).close()
    place.server.execute(statement.format(place.name))
    with pytest.raises(StoreInvalid):
        place.open()


def test_a_newer_one_is_refused(place: Schema) -> None:
    made(place, record(1)).close()
    place.server.execute(f"UPDATE {place.name}.syncrepl_origin SET format = 99")
    place.server.execute(f"ALTER TABLE {place.name}.syncrepl_origin ADD COLUMN news text")
    before = place.files()
    for look in (lambda: place.open(), lambda: read_store(place.where)):
        with pytest.raises(StoreVersionError, match="format 99"):
            look()
    assert place.files() == before


def test_an_empty_schema_will_do(place: Schema) -> None:
    place.server.execute(f"CREATE SCHEMA {place.name}")
    assert len(made(place, record(1))) == 1


def test_rights(postgresql: Server, place: Schema) -> None:
    """The error says what to grant; what it says is enough."""
    user = place.name
    postgresql.execute(f"CREATE ROLE {user} LOGIN")
    place.where = PostgreSQL(
        postgresql.socket_url.replace("postgres@", f"{user}@"), schema=place.name
    )
    try:
        with pytest.raises(StoreError, match=f"CREATE SCHEMA {user} AUTHORIZATION"):
            made(place)
        place.close()
        postgresql.execute(f"CREATE SCHEMA {place.name}")
        with pytest.raises(StoreError) as caught:
            made(place)
        grant = str(caught.value).partition("as its owner, ")[2].partition(";")[0]
        assert grant.startswith("GRANT USAGE, CREATE ON SCHEMA")
        postgresql.execute(grant)
        assert len(made(place, record(1))) == 1
    finally:
        place.close()
        postgresql.execute(f"DROP ROLE {user}")


# --- what is stored


def test_keys_longer_than_postgresql_indexes(store: PostgreSQLStore) -> None:
    noise = b"".join(os.urandom(1000).hex().encode() for _ in range(5))
    keys = [noise + bytes((number,)) + b"\0" for number in range(1, 5)]
    records = [Record(uid(number), key, "cn=x", b"") for number, key in enumerate(keys)]
    fill(store, *records)
    store.close()
    store.create()
    consistent(store)
    assert [store.at(each.key) for each in records] == records
    assert store.at(noise + b"\0") is None
    store.begin()
    with pytest.raises(StoreError, match="can't both be"):
        store.put(records[0]._replace(uuid=uid(9)))
    store.rollback()
    # Nor can they where the cache does not know.
    with pytest.raises(psycopg.errors.UniqueViolation):
        store.connection.execute(
            f"INSERT INTO {store.qualifier}syncrepl_entry VALUES (%s, %s, '', '')",
            (uid(9), keys[0]),
        )


def test_texts_that_postgresql_has_no_type_for(store: PostgreSQLStore) -> None:
    names = ["cn=a\0b", "cn=\ud800", "", "cn=\U0001f4a1"]
    records = [
        Record(uid(number), b"%d\0" % number, name, b"") for number, name in enumerate(names)
    ]
    fill(store, *records)
    kept = origin(b"\0")._replace(url="ldap://h/\0", identity="\ud800\0", known="\0")
    store.begin()
    store.commit(kept)
    assert list(store.live()) == records
    assert store.origin == kept


def test_the_root_of_everything(store: PostgreSQLStore) -> None:
    root = Record(uid(1), b"", "", attributes.encode({}))
    fill(store, root, record(2))
    assert list(store.live()) == [root, record(2)]
    assert len(store) == 2


def test_a_refresh_takes_few_statements(
    store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adds, changes, renames and deletes of many entries: some statements for a group of them."""
    statements: list[str] = []
    execute = Database.execute

    def counted(self: Database, sql: str, values: Any = ()) -> Any:
        statements.append(sql)
        return execute(self, sql, values)

    monkeypatch.setattr(Database, "execute", counted)

    def spent() -> int:
        count = len(statements)
        statements.clear()
        return count

    many = [record(number, f"cn={number},ou=old,dc=x") for number in range(2000)]
    changed = [each._replace(attrs=attributes.encode({"cn": [b"new"]})) for each in many]
    for records in (many, changed):
        store.begin()
        for start in range(0, len(many), 100):
            some = records[start : start + 100]
            store.prefetch({each.uuid: each.key for each in some})
            for each in some:
                store.put(each)
                store.seen.mark_placed(each.uuid)
        store.commit(origin(b"1"))
        assert spent() < 100
    store.begin()
    for each in store.below(dn.key("ou=old,dc=x")):
        name = each.dn.replace("ou=old", "ou=new")
        target = dn.key(name)
        if store.at(target) is None:
            store.put(each._replace(key=target, dn=name))
    store.commit()
    assert spent() < 200
    store.seen.clear()
    store.seen.mark_present(each.uuid for each in many[:10])
    assert store.seen.count_to_delete(unseen=True) == 1990
    store.begin()
    for each in store.seen.to_delete(unseen=True):
        store.remove(each.uuid)
    store.commit()
    assert len(store) == 10
    assert spent() < 30


# --- the transaction of the callback


def test_an_error_that_a_callback_caught(place: Schema) -> None:
    """PostgreSQL would answer the COMMIT by ROLLBACK, without an error."""
    store = made(place, record(1))
    ends: list[Callable[[], object]] = [
        lambda: store.put(record(3)),
        lambda: store.commit(origin(b"2")),
    ]
    for end in ends:
        store.begin()
        store.put(record(2))
        store.in_callback = True
        with suppress(psycopg.Error):
            store.connection.execute("SELECT nothing")
        store.in_callback = False
        with pytest.raises(StoreError, match=r"connection\.transaction\(\)"):
            end()
        store.rollback()
    with pytest.raises(StoreError, match="nothing was committed"):
        aborts_at_last(store)
    assert list(store.live()) == [record(1)]
    assert store.origin == origin(b"c")


def aborts_at_last(store: PostgreSQLStore) -> None:
    database = store._database
    database.begin()
    with suppress(StoreError):
        database.execute("SELECT nothing")
    database.commit()


def test_an_error_in_a_savepoint_of_the_callback(store: PostgreSQLStore) -> None:
    store.begin()
    store.put(record(2))
    store.in_callback = True
    with suppress(psycopg.errors.UndefinedColumn), store.connection.transaction():
        assert store.count() == 0
        assert len(store) == 1  # written inside the savepoint
        store.connection.execute("SELECT nothing")
    store.in_callback = False
    store.commit(origin(b"2"))
    assert list(store.live()) == [record(2)]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_that_a_callback_ended(place: Schema, end: str) -> None:
    class Meddler(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            getattr(feed.store.connection, end)()

    with Feed(Meddler(), store=place.open()) as feed:
        with pytest.raises(StoreError, match="don't commit or roll back"):
            feed.add("dc=x", {"dc": ["x"]})
        assert len(feed.store) == 0


def test_a_connection_that_a_callback_closed(place: Schema) -> None:
    class Closer(BaseCallback):
        def record_add(self, dn: str, attrs: Any) -> None:
            with feed.store.connection:
                pass

    with Feed(Closer(), store=place.open()) as feed, pytest.raises(StoreLost):
        feed.add("dc=x", {"dc": ["x"]})
    assert len(place.open()) == 0


def test_rows_of_the_callback_commit_with_the_change(place: Schema) -> None:
    table = f"{place.name}_mine"

    class Mirror(BaseCallback):
        failing = True

        def record_add(self, dn: str, attrs: Any) -> None:
            feed.store.connection.execute(f"INSERT INTO {table} VALUES (%s)", (dn,))

        def before_commit(self) -> None:
            if self.failing:
                raise OSError("away")

    rows = f"SELECT * FROM {table}"
    place.server.execute(f"CREATE TABLE {table} (dn text PRIMARY KEY)")
    try:
        with Feed(Mirror(), store=place.open()) as feed:
            feed.add("dc=x", {"dc": ["x"]})
            assert place.server.execute(rows) == []
            with pytest.raises(OSError, match="away"):
                feed.refresh_done()
            assert place.server.execute(rows) == []
            feed.callback.failing = False
            feed.restart()
            assert place.server.execute(rows) == [("dc=x",)]
    finally:
        place.server.execute(f"DROP TABLE {table}")


def test_what_a_program_sets_on_the_connection(place: Schema) -> None:
    """Does not reach the store's own statements; and the store sets no search path."""
    store = made(place, record(1))
    connection: Any = store.connection
    (path,) = connection.execute("SHOW search_path").fetchone()
    assert place.name not in path
    connection.row_factory = dict_row
    connection.cursor_factory = psycopg.ClientCursor
    connection.prepare_threshold = 0
    for _ in range(3):
        fill(store, record(2), cookie=b"2")
    assert [store.get(uid(number)) for number in (1, 2)] == [record(1), record(2)]
    assert store.origin == origin(b"2")
    consistent(store)


# --- a server that goes away


def test_a_lost_connection(place: Schema) -> None:
    store = made(place, record(1))
    store.begin()
    store.put(record(2))
    place.server.execute(f"SELECT pg_terminate_backend({store.connection.info.backend_pid})")
    with pytest.raises(StoreLost, match="lost") as caught:
        store.commit(origin(b"2"))
    assert caught.value.retriable
    assert not store.in_transaction
    store.rollback()
    with pytest.raises(StoreLost):
        store.begin()
    store.close()
    store = made(place)
    assert list(store.live()) == [record(1)]


@pytest.mark.parametrize("statement", ["COMMIT", "SELECT"])
def test_a_stop_while_the_server_hangs(place: Schema, statement: str) -> None:
    store = made(place, record(1))
    store.begin()
    store.put(record(2))
    backend = store.connection.info.backend_pid
    asked: list[bool] = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) > 2

    store.stopping = stopping
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(StoreLost, match="did not answer before the stop"):
            store.commit(origin(b"2")) if statement == "COMMIT" else store.get(uid(7))
        store.rollback()
        store.close()
    finally:
        os.kill(backend, signal.SIGCONT)
    assert list(made(place).live()) == [record(1)]


def test_a_statement_that_the_server_cancels(store: PostgreSQLStore) -> None:
    store.connection.execute("SET statement_timeout = 1")
    with pytest.raises(StoreBusy, match="timeout"):
        store._database.execute("SELECT pg_sleep(60)")
    assert len(str(store.place)) > 0


# --- beside a client


def test_a_reader_sees_one_commit(place: Schema) -> None:
    store = made(place, record(1), displaced(8, "cn=8"), reference(9))
    with read_store(place.where) as reader:
        before = reader.changed
        fill(store, record(2), cookie=b"2")
        assert (len(reader), reader.origin.cookie) == (1, b"c")
        assert list(reader.live()) == [record(1)]
        assert reader.get(uid(1)) == reader.at(record(1).key) == record(1)
        assert list(reader.below(dn.key("dc=x"))) == [record(1)]
        assert reader.items()["CN=1,dc=x"] == {}
        assert reader.path == str(place.where)
    with read_store(place.where) as reader:
        assert (len(reader), reader.origin.cookie) == (2, b"2")
        assert reader.changed > before
    assert store.count() == 2


def test_a_copy_is_an_sqlite_store(place: Schema, tmp_path: Path) -> None:
    store = made(place, record(1), displaced(8, "cn=8"), reference(9))
    store.begin()
    store.tell_apart(b"cn=a\0")
    store.commit()
    with read_store(place.where) as reader:
        reader.copy(f"{tmp_path}/copy")
        with pytest.raises(StoreError, match="exists"):
            reader.copy(f"{tmp_path}/copy")
    with closing(SQLiteStore(f"{tmp_path}/copy")) as copy:
        assert list(copy.live()) == [record(1)]
        assert copy.get(uid(8)) == displaced(8, "cn=8")
        assert copy.get(uid(9)) == reference(9)
        assert copy.origin == origin(b"c")
        assert copy.namesakes == {b"cn=a\0"}


def test_a_relay_beside_a_client(place: Schema) -> None:
    queue = Queue()
    with Feed(BaseCallback(), store=place.open(), changelog=Changelog(initial="each")) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
        Relay(place.where, QueueSink(queue), name="me", position=0).run(once=True)
        assert len(queue.ids) == 1
        feed.modify("dc=x", {"description": ["later"]})
        feed.commit()
        Relay(place.where, QueueSink(queue), name="me").run(once=True)
        assert len(queue.ids) == 2
        with open_changelog(place.where) as log:
            unlock = log.lock("me")
            with open_changelog(place.where) as other, pytest.raises(StoreLocked):
                other.lock("me")
            unlock()
            with open_changelog(place.where) as other:
                other.lock("me")
        log.close()
        assert feed.store.changelog.sinks["me"].behind == 0


def test_writers_of_sinks_wait_for_each_other(place: Schema) -> None:
    with Feed(BaseCallback(), store=place.open(), changelog=Changelog(initial="each")) as feed:
        feed.add("dc=x", {"dc": ["x"]})
        feed.refresh_done()
    with open_changelog(place.where) as log, open_changelog(place.where, patience=0.01) as other:
        with log.sinks.transaction(), pytest.raises(StoreBusy):
            other.sinks.add("me")
        other.sinks.add("me")
        assert "me" in log.sinks


def test_without_psycopg(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from syncrepl_client.store import open_store\n"
        "open_store('sqlite', 'postgresql://')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: PostgreSQLStore needs psycopg and libpq" in done.stderr
    assert "pip install 'syncrepl_client[postgresql]'" in done.stderr
