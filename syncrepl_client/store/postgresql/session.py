# SPDX-License-Identifier: BSD-3-Clause
"""How a store connects to PostgreSQL: the connection, and what is checked about it."""

import ipaddress
import logging
import time
from collections.abc import Generator
from typing import Any, Callable, Optional, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow

from ...exceptions import ConfigurationError, StoreError
from ..base import never
from ..location import PostgreSQL

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST = 140000
"""PostgreSQL 14."""
_STOP_SECONDS = 0.5
"""How long a stop waits for the server to answer a statement."""


class Session(psycopg.Connection[TupleRow]):
    """A connection whose waits end soon after a stop is requested.

    Attributes:
        stopping: returns True once a stop was requested.
    """

    stopping: Callable[[], bool] = staticmethod(never)

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait until *gen* is done, or a stop was requested and the server does not answer.

        Raises:
            psycopg.OperationalError: the latter; the connection was closed.
        """
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        silent: Optional[float] = None  # since when
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                silent = None if ready or not self.stopping() else silent or now
                if silent is not None and now - silent > _STOP_SECONDS:
                    gen.close()
                    self.close()  # nothing is cancelled: a COMMIT may have been done
                    raise psycopg.OperationalError("the server did not answer before the stop")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


def connect(place: PostgreSQL) -> Session:
    """Return a new connection to the database at *place*, in autocommit mode.

    Raises:
        ConfigurationError: libpq can't read the URL.
        StoreError: there is no connection, or it is not to a PostgreSQL that can be used.
    """
    _check(place)
    try:
        session = Session.connect(
            place.url,
            autocommit=True,
            prepare_threshold=None,  # a plan made while a table was empty is bad later
            client_encoding="UTF8",
            fallback_application_name="syncrepl_client",
        )
    except psycopg.Error as error:
        raise StoreError(f"no connection to {place}: {_lines(error)}") from error
    try:
        _examine(session, place)
    except BaseException:
        session.close()
        raise
    return session


def _check(place: PostgreSQL) -> None:
    try:
        conninfo.conninfo_to_dict(place.url)
    except psycopg.Error:
        # Its message quotes the URL, with the password.
        raise ConfigurationError(f"libpq can't read the URL of {place}") from None


def _examine(session: Session, place: PostgreSQL) -> None:
    version = session.info.server_version
    if version < OLDEST:
        raise StoreError(f"{place} is PostgreSQL {version // 10000}: 14 or later is needed")
    row = session.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != session.info.backend_pid:
        raise StoreError(
            f"between this client and {place} is a pooler such as PgBouncer, which may give each "
            "transaction another session: connect to PostgreSQL itself"
        )
    _warn_of_risk(session, place)


def _warn_of_risk(session: Session, place: PostgreSQL) -> None:
    pgconn = session.pgconn
    if pgconn.used_password and not pgconn.ssl_in_use and not _is_local(session.info):
        logger.warning(
            "the connection to %s goes to another host without TLS: entries, and the password "
            "unless the server asks for SCRAM, can be read on the way; add sslmode=verify-full",
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
