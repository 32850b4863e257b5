# SPDX-License-Identifier: BSD-3-Clause
"""Python's garbage collector, during a refresh.

It would run every 40 entries, nearly all of whose objects are freed at once.  That takes 6 % of a
refresh (CPython 3.11), and more in a program with a large heap.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 10_000
"""The least number of new objects before the collector runs; CPython's default is 700 or 2,000."""


@contextmanager
def fewer_collections(refreshing: bool) -> Iterator[None]:
    """Let the collector run less often while a block of the refresh stage lasts.

    A threshold that is higher, or 0 (no collections), stays; one that was set meanwhile stays too.
    """
    before = gc.get_threshold()
    if not refreshing or not 0 < before[0] < _OBJECTS:
        yield
        return
    ours = (_OBJECTS, *before[1:])
    gc.set_threshold(*ours)
    try:
        yield
    finally:
        if gc.get_threshold() == ours:
            gc.set_threshold(*before)
