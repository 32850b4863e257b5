# SPDX-License-Identifier: BSD-3-Clause
"""Everything that can go wrong, sorted by whose move is next.

``UsageError`` is for the caller to mend, ``ServerError`` for the directory's
administrator, ``StoreError`` for whoever keeps the local files.  Errors of the
connection itself are python-ldap's own ``ldap.LDAPError`` and come through
unchanged, as does whatever a callback raises.
"""


class SyncreplError(Exception):
    """Base of every error that this library defines.

    Attributes:
        retriable: whether another attempt, later or on another server, may fare better.  The
            ``ldap.LDAPError`` that comes through a client's method has this attribute too.
    """

    retriable = False


class UsageError(SyncreplError):
    """The program asked for something that cannot be done."""


class ClosedError(UsageError):
    """The client was unbound; make a new one."""


class Stopped(UsageError):
    """``please_stop()`` was called before what was asked for was complete."""


class ConfigurationError(UsageError, ValueError):
    """An argument cannot be used; nothing was opened or changed."""


class CallbackInvalid(ConfigurationError, TypeError):
    """The object handed over as callback lacks a method that is called."""


class LDAPUrlError(ConfigurationError):
    """The LDAP URL does not say what to follow, or cannot be understood."""


class LDAPUrlConflict(ConfigurationError):
    """The store holds the result of another search (base, scope, filter or attributes)."""


class ServerError(SyncreplError):
    """The server cannot, or does not, do what RFC 4533 asks of it."""


class SyncUnsupported(ServerError):
    """The server has no content synchronization for this search."""


class PagingUnsupported(ServerError):
    """The server does not give out a long answer page by page (RFC 2696)."""


class ProtocolError(ServerError):
    """The server sent something malformed, or illegal at this point."""


class TooManyDeletes(ServerError):
    """A refresh would delete more entries than ``max_deletes`` allows; none was deleted.

    Attributes:
        deletes: how many it would delete.
        entries: how many the store has.
    """

    def __init__(self, message: str, *, deletes: int = 0, entries: int = 0) -> None:
        """Say so."""
        super().__init__(message)
        self.deletes = deletes
        self.entries = entries


class SearchEnded(ServerError):
    """The server ended the search in the persist stage, without an error."""

    retriable = True


class StoreError(SyncreplError):
    """The local data store could not be opened, read or written."""


class StorePathError(StoreError, ConfigurationError):
    """``data_path`` names a place where no store can be."""


class StoreInvalid(StoreError):
    """The file at ``data_path`` is not a store, or is damaged; it was left as it is."""


class StoreVersionError(StoreError):
    """The store was written by a newer version of this library."""


class StoreLocked(StoreError):
    """Another client, in this process or another, has the store open."""
