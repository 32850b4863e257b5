# SPDX-License-Identifier: BSD-3-Clause
"""Forks: a child process inherits connections, locks and databases that its parent goes on using.

Merely to let go of them would do harm.  An LDAP connection that is freed sends an UnbindRequest
over the socket that both processes have; an SQLite connection that is closed rolls back in the
memory that both have mapped; a lock that is released is released for both.  So each of them is
disowned in the child: its descriptors are closed there, and it is never freed.
"""

import contextlib
import os
from typing import Any, Protocol
from weakref import WeakValueDictionary

from ..exceptions import UsageError


class Owner:
    """The process in which it was made, and which alone may use what it stands for."""

    def __init__(self) -> None:
        """Remember the current process."""
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._pid

    def check(self, method: str) -> None:
        """Check that this is that process.

        Raises:
            UsageError: it is one that was forked from it.
        """
        if not self.is_here:
            raise UsageError(
                f"{method}() in process {os.getpid()}: the client was made in process {self._pid}, "
                "before a fork, and its connection and its store can't be shared; make one after it"
            )


class Disownable(Protocol):
    """What a child process must not use, nor let go of."""

    def disown(self) -> None:
        """Give it up in the child, without a trace in the parent."""


_resources: "WeakValueDictionary[int, Disownable]" = WeakValueDictionary()
"""By their ``id()``: not all can be hashed."""
_kept: "list[Any]" = []


def register(resource: Disownable) -> None:
    """Have *resource* disowned in each child process that is forked while it exists."""
    _resources[id(resource)] = resource


def never_free(thing: object) -> None:
    """See that *thing* is never freed, not even when the interpreter ends."""
    _kept.append(thing)
    with contextlib.suppress(ImportError, AttributeError):  # then it is until the end, at least
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def redirect(descriptor: int) -> None:
    """Have *descriptor* lead to nowhere: what is written there fails."""
    nowhere = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


def _in_child() -> None:
    for resource in list(_resources.values()):
        with contextlib.suppress(OSError):
            resource.disown()


os.register_at_fork(after_in_child=_in_child)
