# SPDX-License-Identifier: BSD-3-Clause
"""Errors become one line for a person, and an exit code for a program."""

import ldap

from ..exceptions import ServerError, StoreError, SyncreplError, TooManyDeletes, UsageError
from .exits import Exit
from .terminal import in_options, ldap_text, printable


class HandlerFailed(Exception):
    """What was to be done with a change failed."""

    def __repr__(self) -> str:  # the library logs it, for people to read
        return str(self)


class ConnectionFailed(Exception):
    """What python-ldap raised, and at which server."""


class OutputError(HandlerFailed):
    """The output could not be written."""


class Interrupted(BaseException):
    """A stop was asked for while a change was being handled; it is not handled then.

    No ``Exception``: what a callback raises would be taken for its failure, and tried again.
    """


class ReaderGone(BaseException):
    """Nobody reads the output any more."""


EXPECTED = (SyncreplError, ldap.LDAPError, ConnectionFailed, HandlerFailed)
"""Errors that are nobody's mistake in this program."""


def exit_code(error: BaseException) -> Exit:
    """Return the exit code that stands for one of :data:`EXPECTED`."""
    if isinstance(error, TooManyDeletes):
        return Exit.DELETES
    if isinstance(error, StoreError):
        return Exit.STORE
    if isinstance(error, (ServerError, ldap.LDAPError, ConnectionFailed)):
        return Exit.SERVER
    return Exit.USAGE if isinstance(error, UsageError) else Exit.HANDLER


def one_line(error: BaseException) -> str:
    """Return what *error* says, in one line that is safe to show."""
    text = ldap_text(error) if isinstance(error, ldap.LDAPError) else str(error)
    return in_options(printable(" ".join(text.split()) or type(error).__name__))
