# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions, by who can fix the problem.

``UsageError``: the calling program; ``ServerError``: the administrator of the directory;
``StoreError``: whoever manages the local files.  Errors of the connection are python-ldap's own
``ldap.LDAPError`` and are raised unchanged, as is any exception of a callback.
"""

import ldap as _ldap


class SyncreplError(Exception):
    """Base class of all exceptions that this library defines.

    Attributes:
        retriable: whether another attempt, later or on another server, may succeed.  An
            ``ldap.LDAPError`` that a client's method raises has this attribute too.
    """

    retriable = False


class UsageError(SyncreplError):
    """The program asked for something that is not possible."""


class ClosedError(UsageError):
    """The client was unbound; create a new one."""


class Stopped(UsageError):
    """``please_stop()`` was called before the operation was complete."""


class ConfigurationError(UsageError, ValueError):
    """An argument is not valid; nothing was opened or changed."""


class CallbackInvalid(ConfigurationError, TypeError):
    """The callback lacks a required method, or has an ``async`` one where none may be."""


class LDAPUrlError(ConfigurationError):
    """The LDAP URL is not valid, or incomplete."""


class LDAPUrlConflict(ConfigurationError):
    """The store holds the result of another search (base, scope, filter or attributes)."""


class ServerError(SyncreplError):
    """The server cannot, or does not, do what RFC 4533 requires."""


class SyncUnsupported(ServerError):
    """The server does not support content synchronization for this search."""


class PagingUnsupported(ServerError):
    """The server does not support paged results (RFC 2696)."""


class ProtocolError(ServerError):
    """The server sent something malformed, or something not allowed at this point."""


class SyncRefreshRequired(ServerError, _ldap.LDAPError):
    """The server can't resume from this cookie (e-syncRefreshRequired, 4096): search without one.

    Only :class:`~syncrepl_client.consumer.SyncreplConsumer` raises it, for which it is an
    ``ldap.LDAPError`` with the details that python-ldap gives; ``Syncrepl`` starts over by itself.
    """


class TooManyDeletes(ServerError):
    """A refresh would delete more entries than ``max_deletes`` allows.

    None of the entries that are gone was reported.  Entries that were in the way of others with
    the same DN were reported one by one, up to the limit.

    Attributes:
        deletes: how many it would delete, as far as is known, with those that were reported.
        entries: how many the store had before the refresh.
    """

    def __init__(self, message: str, *, deletes: int = 0, entries: int = 0) -> None:
        """Initialize with a message and the two numbers."""
        super().__init__(message)
        self.deletes = deletes
        self.entries = entries


class LaggingServer(ServerError):
    """The server lacks changes that the store has, or may lack some.

    It is not raised by ``poll()``, which tries the next server, for ``lag_patience`` seconds, but
    passed to the callback's ``disconnected``.
    """

    retriable = True


class SearchEnded(ServerError):
    """The server ended the search in the persist stage, without an error."""

    retriable = True


class SinkInUse(UsageError):
    """Another relay passes changes on to the sink."""

    retriable = True


class SinkRemoved(UsageError):
    """The sink was removed from the log of changes while its relay was running."""


class StoreError(SyncreplError):
    """The local data store could not be opened, read or written."""


class StorePathError(StoreError, ConfigurationError):
    """``data_path`` is a place where there can't be a store."""


class StoreInvalid(StoreError):
    """The file at ``data_path`` is not a store, or is damaged; it was left as it is."""


class StoreVersionError(StoreError):
    """The store was written by a newer version of this library."""


class StoreLocked(StoreError):
    """Another client, in this process or another, has the store open."""


class StoreBusy(StoreError):
    """Another connection has been writing to the store for too long; try again later."""


class StoreUnreachable(StoreError):
    """There is no connection to the store's database: it may be down, or start."""

    retriable = True


class StoreLost(StoreError):
    """The connection to the store's database was lost, or another client has taken it over.

    ``poll()`` connects again if ``reconnect`` is on, and raises it otherwise.
    """

    retriable = True


class CallbackOverdue(StoreError):
    """The callback takes longer than the lease, so that the database ends the transaction.

    Attributes:
        method: what was called.
        seconds: how long the database heard nothing.
        lease: the lease, in seconds.
    """

    def __init__(
        self, message: str, *, method: str = "", seconds: float = 0.0, lease: float = 0.0
    ) -> None:
        """Initialize with a message and the details."""
        super().__init__(message)
        self.method = method
        self.seconds = seconds
        self.lease = lease
