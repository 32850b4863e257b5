# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions of the command, and their messages and exit codes."""

import ldap

from ..entries.printable import printable
from ..exceptions import (
    LDAPUrlConflict,
    ServerError,
    StoreError,
    SyncreplError,
    SyncUnsupported,
    TooManyDeletes,
    UsageError,
)
from .exits import Exit
from .output.terminal import in_options, ldap_text


class HandlerFailed(Exception):
    """A change could not be handled."""

    def __repr__(self) -> str:  # the library logs it, for people to read
        return str(self)


class ConnectionFailed(Exception):
    """An exception of python-ldap, with the server in its message."""


class OutputError(HandlerFailed):
    """The output could not be written."""


class Interrupted(BaseException):
    """A stop was requested while a change was being handled; the change is not handled.

    It is not an ``Exception``, so that it is not treated as a failure of the callback, and retried.
    """


class ReaderGone(BaseException):
    """The reader of the output has closed it."""


EXPECTED = (SyncreplError, ldap.LDAPError, ConnectionFailed, HandlerFailed)
"""Exceptions that are not bugs of this program."""


_REFUSED = (
    ldap.INVALID_CREDENTIALS, ldap.INSUFFICIENT_ACCESS, ldap.INAPPROPRIATE_AUTH,
    ldap.CONFIDENTIALITY_REQUIRED, ldap.STRONG_AUTH_REQUIRED, ldap.AUTH_UNKNOWN,
    ldap.AUTH_METHOD_NOT_SUPPORTED, ldap.STRONG_AUTH_NOT_SUPPORTED,
)  # fmt: skip
_CONFIG = (
    ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX, ldap.REFERRAL, SyncUnsupported, LDAPUrlConflict,
)  # fmt: skip
"""Like usage errors, these are not mended by a restart."""


def exit_code(error: BaseException) -> Exit:
    """Return the exit code for one of :data:`EXPECTED`."""
    cause = error.__cause__ if isinstance(error, ConnectionFailed) else error
    if isinstance(cause, TooManyDeletes):
        return Exit.DELETES
    if isinstance(cause, _REFUSED):
        return Exit.REFUSED
    if isinstance(cause, _CONFIG):
        return Exit.CONFIG
    if isinstance(error, StoreError):
        return Exit.STORE
    if isinstance(error, (ServerError, ldap.LDAPError, ConnectionFailed)):
        return Exit.SERVER
    return Exit.USAGE if isinstance(error, UsageError) else Exit.HANDLER


def one_line(error: BaseException) -> str:
    """Return the message of *error*, in one line that is safe to print."""
    text = ldap_text(error) if isinstance(error, ldap.LDAPError) else str(error)
    return in_options(printable(" ".join(text.split()) or type(error).__name__))
