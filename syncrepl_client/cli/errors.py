# SPDX-License-Identifier: BSD-3-Clause
"""Errors become one line for a person, and an exit code for a program."""

import ldap

from ..exceptions import ServerError, StoreError, SyncreplError, TooManyDeletes, UsageError
from ..wire import details_of
from .exits import Exit
from .terminal import printable


class HandlerFailed(Exception):
    """What was to be done with a change failed for good."""


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
    text = _ldap_text(error) if isinstance(error, ldap.LDAPError) else str(error)
    return in_options(printable(" ".join(text.split()) or type(error).__name__))


_WORDS = (
    ("or the store's own URL (ldap_url=None)", "or --data alone"),
    ("call allow_deletes() and poll again, or run", "run"),
    ("with max_deletes=None", "with --max-deletes none"),
    ("max_deletes", "--max-deletes"),
    ("data_path", "--data"),
    ("starttls=True", "-Z"),
    ("OPT_X_TLS_CACERTFILE", "--cacert"),
    ("OPT_X_TLS_CERTFILE", "--cert"),
    ("OPT_X_TLS_KEYFILE", "--key"),
)
"""The library speaks to programmers; what their arguments are called here."""


def in_options(text: str) -> str:
    """Return *text*, which the library wrote, with the names of options for those of arguments."""
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text


def _ldap_text(error: ldap.LDAPError) -> str:
    details = details_of(error)
    parts = [_text(details.get(name)) for name in ("desc", "info")]
    matched = _text(details.get("matched"))
    if matched:
        parts.append(f"the nearest entry that exists is {matched}")
    return ": ".join(filter(None, parts)) or str(error)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
