# SPDX-License-Identifier: BSD-3-Clause
"""The exit codes."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit code of the command."""

    DONE = 0
    """Success, or stopped on request."""
    FOUND = 1
    """A check found something."""
    USAGE = 2
    """Wrong usage."""
    SERVER = 3
    """The connection was lost, or the server refused."""
    STORE = 4
    """The local data store can't be used."""
    HANDLER = 5
    """The command of --exec failed for good, or the output could not be written."""
    DELETES = 6
    """A refresh would have deleted more than --max-deletes allows; nothing was deleted."""
    INTERNAL = 70
    """A bug of this program."""
    REFUSED = 77
    """The server refuses this user or password: to try again may lock the account."""
    CONFIG = 78
    """What is to be followed can't be: no such base, another search in the store, no syncprov; or
    the file of ``run`` is wrong."""
    INTERRUPTED = 130
    """Interrupted by Ctrl-C before it was done."""
    BROKEN_PIPE = 141
    """The reader closed the output, as ``head -1`` does."""
