# SPDX-License-Identifier: BSD-3-Clause
"""Run a program that is killed, as by SIGKILL, at a certain instant.

python -m tests.docs.dying MOMENT NUMBER PROGRAM: at its NUMBER-th time of ``told`` (a callback
has returned), ``committing`` (just before a commit of the store), ``committed`` (just after one)
or ``delivered`` (just after a commit of SQLAlchemy's, to another database).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from itertools import count, product
from typing import Any, Callable

from sqlalchemy.engine.default import DefaultDialect

from syncrepl_client.store import PostgreSQLStore, SQLiteStore

STORES: tuple[type, ...] = (SQLiteStore, PostgreSQLStore)
MOMENTS: dict[str, tuple[tuple[type, ...], tuple[str, ...]]] = {
    "told": (STORES, ("put", "remove")),
    "committing": (STORES, ("commit",)),
    "committed": (STORES, ("commit",)),
    "delivered": ((DefaultDialect,), ("do_commit",)),
}


def dying(method: Callable[..., Any], *, first: bool, numbers: count[int], last: int) -> Any:
    """A method that kills the process at the *last* number, before or after its work."""

    def run(*arguments: Any) -> Any:
        doomed = next(numbers) == last
        if doomed and first:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments)
        if doomed:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


def main() -> None:
    moment, number, program = sys.argv[1:]
    numbers = count(1)
    owners, names = MOMENTS[moment]
    for owner, name in product(owners, names):
        first = moment in ("told", "committing")
        method = dying(getattr(owner, name), first=first, numbers=numbers, last=int(number))
        setattr(owner, name, method)
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
