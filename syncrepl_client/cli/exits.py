# SPDX-License-Identifier: BSD-3-Clause
"""Exit codes, all in one place."""

from enum import IntEnum


class Exit(IntEnum):
    """How the command ended."""

    DONE = 0
    """All was done, or it was asked to stop."""
    FOUND = 1
    """A check found something."""
    USAGE = 2
    """It was asked for something that can't be done."""
    SERVER = 3
    """The connection was lost, or the server refused."""
    STORE = 4
    """The local data store can't be used."""
    HANDLER = 5
    """The command of --exec failed for good, or the output could not be written."""
    DELETES = 6
    """A refresh would have deleted more than --max-deletes allows; nothing was deleted."""
    INTERNAL = 70
    """A fault of this program."""
    INTERRUPTED = 130
    """Ctrl-C, where there was something left to do."""
    BROKEN_PIPE = 141
    """Whoever read the output has gone away, as ``head -1`` does."""
