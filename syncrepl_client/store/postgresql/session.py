# SPDX-License-Identifier: BSD-3-Clause
"""How a store connects to PostgreSQL: the connection, and what is checked about it."""

import ipaddress
import logging
import os
import threading
import time
from collections.abc import Generator, Mapping
from typing import Any, Callable, NoReturn, Optional, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow

from ...exceptions import ConfigurationError, StoreError
from ...waiting.coroutines import Ask, WaitForSocket
from ..base import never, nobody
from ..location import PostgreSQL

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST = 140000
"""PostgreSQL 14."""
_STOP_SECONDS = 0.5
"""How long a stop waits for the server to answer a statement."""
_CONNECT_SECONDS = 10
"""The maximum time to connect to a host, unless the URL, a service or the environment has one."""
_BOUNDS = {"connect_timeout", "service", "PGCONNECT_TIMEOUT", "PGSERVICE"}
_OWN_SESSION = "SELECT pg_backend_pid()"
_VERIFYING = {b"verify-ca", b"verify-full"}
_INTERVAL = 0.1
"""How many seconds until a stop is looked for."""


class _Turn:
    """A lock for which the thread that holds it does not wait: it would for ever.

    While a statement waits in an event loop, other tasks of that thread run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: Optional[int] = None

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            if self._holder == threading.get_ident():
                raise psycopg.InterfaceError(
                    "a client waits for the database in another task; use its store and its "
                    "connection in methods of the callback, and a connection of your own elsewhere"
                )
            self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._holder = None
        self._lock.release()


class Session(psycopg.Connection[TupleRow]):
    """A connection whose waits end soon after a stop is requested.

    Attributes:
        stopping: returns True once a stop was requested.
        asker: returns what waits in its place; see :attr:`.Store.asker`.
        bound: how many seconds a statement may take; None: as long as it likes.
    """

    stopping: Callable[[], bool] = staticmethod(never)
    asker: Callable[[], Optional[Ask]] = staticmethod(nobody)
    bound: Optional[float] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Initialize as psycopg does."""
        super().__init__(*args, **kwargs)
        self.lock = _Turn()  # type: ignore[assignment]  # psycopg only enters it

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait until *gen* is done, or a stop was requested and the server does not answer.

        Raises:
            psycopg.OperationalError: the latter, or it took too long; the connection was closed.
        """
        ask = self.asker()
        if ask is None or args or kwargs:  # it is not a statement that waits as it likes
            return super().wait(self._watched(gen), *args, **kwargs)
        return self._wait_elsewhere(self._watched(gen), ask)

    def _wait_elsewhere(self, gen: Generator[Any, Any, T], ask: Ask) -> T:
        try:
            wanted = next(gen)
            while True:
                try:
                    ready = ask(WaitForSocket(self.fileno(), wanted, _INTERVAL))
                except BaseException:  # the task is gone: the statement can't be finished
                    self.close()
                    raise
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        began = time.monotonic()
        silent: Optional[float] = None  # since when
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                silent = None if ready or not self.stopping() else silent or now
                if silent is not None and now - silent > _STOP_SECONDS:
                    self._give_up(gen, "before the stop")
                if not ready and self.bound is not None and now - began > self.bound:
                    self._give_up(gen, f"within {self.bound:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _give_up(self, gen: Generator[Any, Any, Any], when: str) -> NoReturn:
        gen.close()
        self.close()  # nothing is cancelled: a COMMIT may have been done
        raise psycopg.OperationalError(f"the server did not answer {when}")


def connect(place: PostgreSQL) -> Session:
    """Return a new connection to the database at *place*, in autocommit mode.

    Raises:
        ConfigurationError: libpq can't read the URL.
        StoreError: there is no connection, or it is not to a PostgreSQL that can be used.
    """
    bounded = not _BOUNDS.isdisjoint({*_check(place), *os.environ})
    try:
        session = Session.connect(
            place.url,
            connect_timeout=None if bounded else _CONNECT_SECONDS,
            autocommit=True,
            prepare_threshold=None,  # a plan made while a table was empty is bad later
            client_encoding="UTF8",
            fallback_application_name="syncrepl_client",
        )
    except psycopg.Error as error:
        raise StoreError(f"no connection to {place}: {_lines(error)}") from error
    try:
        session.bound = _CONNECT_SECONDS
        _examine(session, place)
        session.bound = None
    except psycopg.Error as error:
        session.close()
        raise StoreError(f"no connection to {place}: {_lines(error)}") from error
    except BaseException:
        session.close()
        raise
    return session


def _check(place: PostgreSQL) -> "Mapping[str, Any]":
    """Return what is in the URL."""
    try:
        return conninfo.conninfo_to_dict(place.url)
    except psycopg.Error:
        # Its message quotes the URL, with the password.
        raise ConfigurationError(f"libpq can't read the URL of {place}") from None


def _examine(session: Session, place: PostgreSQL) -> None:
    version = session.info.server_version
    if version < OLDEST:
        raise StoreError(f"{place} is PostgreSQL {version // 10000}: 14 or later is needed")
    row = session.execute(_OWN_SESSION).fetchone()
    if row is None or row[0] != session.info.backend_pid:
        _examine_pooler(place, row)
    _warn_of_risk(session, place)


def _examine_pooler(place: PostgreSQL, row: Optional[TupleRow]) -> None:
    """Check that the pooler, which is there, keeps a session for each of its clients.

    Raises:
        StoreError: it does not, or nobody says that it does.
    """
    pooler = f"between this client and {place} is a pooler such as PgBouncer"
    if not place.session_pooling:
        raise StoreError(
            f"{pooler}, which may give each transaction another session: connect to PostgreSQL "
            "itself; or, if it pools sessions, add session_pooling=true to the URL"
        )
    with Session.connect(place.url, autocommit=True) as other:
        if other.execute(_OWN_SESSION).fetchone() == row:
            raise StoreError(
                f"{pooler}, and two of its clients have the same session: it pools transactions, "
                "or statements; have it pool sessions, or connect to PostgreSQL itself"
            )


def _warn_of_risk(session: Session, place: PostgreSQL) -> None:
    pgconn = session.pgconn
    if not pgconn.used_password or _is_local(session.info):
        return
    if not pgconn.ssl_in_use:
        logger.warning(
            "the connection to %s goes to another host without TLS: entries, and the password "
            "unless the server asks for SCRAM, can be read on the way; add sslmode=verify-full",
            place,
            extra={"event": "risk"},
        )
        return
    modes = {option.val for option in pgconn.info if option.keyword == b"sslmode"}
    if not modes & _VERIFYING:
        logger.warning(
            "it is not checked whose certificate it is that %s has: whoever sits in between gets "
            "the password, unless the server asks for SCRAM, and entries; add sslmode=verify-full "
            "and sslrootcert",
            place,
            extra={"event": "risk"},
        )


def _is_local(info: psycopg.ConnectionInfo) -> bool:
    if info.host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(info.hostaddr).is_loopback
    except ValueError:
        return False


def _lines(error: psycopg.Error) -> str:
    """Return the message of *error* in one line."""
    return " ".join(str(error).split())
