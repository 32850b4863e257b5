# SPDX-License-Identifier: BSD-3-Clause
"""How a store connects to PostgreSQL: the connection, and what is checked about it."""

import ipaddress
import logging
import os
import threading
import time
from collections.abc import Generator
from typing import Any, Callable, NamedTuple, NoReturn, Optional, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from ...exceptions import ConfigurationError, StoreError, StoreUnreachable
from ...waiting.background import Background
from ...waiting.coroutines import Ask, WaitForSocket
from ..base import never, nobody
from ..location import PostgreSQL
from . import leases

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST = 140000
"""PostgreSQL 14."""
NAME = "syncrepl_client"
_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_IDENTITY = (
    "SELECT pg_backend_pid(), (SELECT extract(epoch FROM backend_start)::text "
    "FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()))"
)
_STOP_SECONDS = 0.5
"""How long a stop waits for the server to answer a statement."""
_CONNECT_SECONDS = 10
"""The maximum time to connect to a host, unless the URL, a service or the environment has one."""
_BOUNDS = {"connect_timeout", "service", "PGCONNECT_TIMEOUT", "PGSERVICE"}
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


class Lapse(NamedTuple):
    """How long nothing was executed before a connection was found to be lost.

    Attributes:
        seconds: how long.
        in_transaction: whether a transaction was open.
    """

    seconds: float
    in_transaction: bool


class Session(psycopg.Connection[TupleRow]):
    """A connection whose waits end soon after a stop is requested.

    Attributes:
        stopping: returns True once a stop was requested.
        asker: returns what waits in its place; see :attr:`.Store.asker`.
        bound: how many seconds a statement may take; None: as long as it likes.
        identity: the process ID of its backend, and when that was started.
        used: when it was last used, by ``time.monotonic()``.
        lapse: what preceded its loss.
        patience: after how many seconds of silence to ask *at_work*; None: never.
        at_work: returns whether the server still executes the statement; called in a thread.
    """

    stopping: Callable[[], bool] = staticmethod(never)
    identity = (0, "")
    used = 0.0
    lapse: Optional[Lapse] = None
    patience: Optional[float] = None
    asker: Callable[[], Optional[Ask]] = staticmethod(nobody)
    bound: Optional[float] = None
    at_work: Callable[[], bool] = staticmethod(never)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Initialize as psycopg does."""
        super().__init__(*args, **kwargs)
        self.lock = _Turn()  # type: ignore[assignment]  # psycopg only enters it

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait until *gen* is done, or a stop was requested and the server does not answer.

        Raises:
            psycopg.OperationalError: the latter, or the server never answers, or too late; the
                connection was closed.
        """
        was_open = not self.closed
        in_transaction = self.pgconn.transaction_status in _IN_TRANSACTION
        lapse = Lapse(time.monotonic() - self.used, in_transaction)
        try:
            ask = self.asker()
            if ask is None or args or kwargs:  # it is not a statement that waits as it likes
                return super().wait(self._watched(gen), *args, **kwargs)
            return self._wait_elsewhere(self._watched(gen), ask)
        except psycopg.Error:
            if was_open and self.closed:
                self.lapse = lapse
            raise
        finally:
            self.used = time.monotonic()

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
        stopped: Optional[float] = None  # since when
        began = time.monotonic()
        silence = Silence(self.patience, self.at_work)
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                stopped = None if ready or not self.stopping() else stopped or now
                if stopped is not None and now - stopped > _STOP_SECONDS:
                    self._give_up(gen, "the server did not answer before the stop")
                if silence.is_final(ready, now):
                    self._give_up(gen, "the server does not answer")
                if not ready and self.bound is not None and now - began > self.bound:
                    self._give_up(gen, f"the server did not answer within {self.bound:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _give_up(self, gen: Generator[Any, Any, Any], reason: str) -> NoReturn:
        gen.close()
        self.close()  # nothing is cancelled: a COMMIT may have been done
        raise psycopg.OperationalError(reason)


class Silence:
    """Tells whether a silent server is still at work, or the connection dead.

    The operating system does not tell if something between the two still acknowledges.
    """

    def __init__(self, patience: Optional[float], at_work: Callable[[], bool]) -> None:
        """Initialize for one statement; *at_work* is called after *patience* seconds."""
        self._patience = patience
        self._at_work = at_work
        self._since: Optional[float] = None
        self._asked: Optional[Background[bool]] = None

    def is_final(self, ready: object, now: float) -> bool:
        """Return True if there will be no answer.

        Args:
            ready: something true if there is an answer.
            now: by ``time.monotonic()``.
        """
        if ready or self._patience is None:
            self._since = self._asked = None
        elif self._since is None:
            self._since = now
        elif self._asked is None:
            if now - self._since > self._patience:
                self._asked = Background(self._at_work, name="syncrepl-asks")
        elif self._asked.done:
            asked, self._asked, self._since = self._asked, None, now
            try:
                return not asked.result()
            except StoreError:
                return True
        return False


def connect(place: PostgreSQL, lease: Optional[float] = None, *, writes: bool = False) -> Session:
    """Return a new connection to the database at *place*, in autocommit mode.

    Args:
        place: the database.
        lease: within how many seconds a dead connection is to be noticed; None: it need not be.
        writes: whether a server that is only read from will not do.

    Raises:
        ConfigurationError: libpq can't read the URL.
        StoreUnreachable: there is no connection.
        StoreError: it is not to a PostgreSQL that can be used.
    """
    given = _check(place)
    bounded = not _BOUNDS.isdisjoint({*given, *os.environ})
    wanted: dict[str, Any] = {} if bounded else {"connect_timeout": _CONNECT_SECONDS}
    if lease is not None:
        wanted.update(leases.parameters(lease))
    if writes and psycopg.pq.version() >= OLDEST:
        wanted["target_session_attrs"] = "primary"
    try:
        session = Session.connect(
            place.url,
            autocommit=True,
            prepare_threshold=None,  # a plan made while a table was empty is bad later
            client_encoding="UTF8",
            fallback_application_name=NAME if lease is None else leases.application_name(),
            **{name: value for name, value in wanted.items() if name not in given},
        )
    except psycopg.Error as error:
        raise StoreUnreachable(f"no connection to {place}: {_lines(error)}") from error
    try:
        session.bound = _CONNECT_SECONDS
        _examine(session, place)
        session.bound = None
    except psycopg.Error as error:
        session.close()
        raise StoreUnreachable(f"no connection to {place}: {_lines(error)}") from error
    except BaseException:
        session.close()
        raise
    session.used = time.monotonic()
    return session


def _check(place: PostgreSQL) -> "dict[str, Any]":
    """Return the parameters in the URL."""
    try:
        return conninfo.conninfo_to_dict(place.url)
    except psycopg.Error:
        # Its message quotes the URL, with the password.
        raise ConfigurationError(f"libpq can't read the URL of {place}") from None


def _examine(session: Session, place: PostgreSQL) -> None:
    version = session.info.server_version
    if version < OLDEST:
        raise StoreError(f"{place} is PostgreSQL {version // 10000}: 14 or later is needed")
    row = session.execute(_IDENTITY).fetchone()
    pid, started = row or (0, "")
    if pid != session.info.backend_pid:
        _examine_pooler(place, pid)
    session.identity = pid, started
    _warn_of_risk(session, place)


def _examine_pooler(place: PostgreSQL, pid: int) -> None:
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
        if other.execute("SELECT pg_backend_pid()").fetchone() == (pid,):
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
