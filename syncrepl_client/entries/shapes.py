# SPDX-License-Identifier: BSD-3-Clause
"""Shapes: what entries with the same attribute names have in common.

Most entries of a directory have one of a few lists of names.  What was checked for one of them, and
the first line of its stored form, holds for the others; with 14 attributes that leaves a third of
the work.
"""

from typing import NamedTuple, Optional

from .attributes import Attributes, head

_SHAPES, _NAMES = 1024, 128
"""The maximum number of shapes, and of names of one."""
_HEADS = 1024
"""The maximum number of first lines that one shape has."""
_LISTS, _SHORT = 1024, 256
"""The maximum number of lists of values that are known to have no value twice, and their size."""


class Shape(NamedTuple):
    """What is known of entries with the same names, in the same order.

    Attributes:
        several: positions of the attributes that may have several values.
        heads: by the numbers of those values: the first line, and the number of NULs between the
            values of the entry.
    """

    several: list[int]
    heads: dict[tuple[int, ...], tuple[bytes, int]]


class Shapes:
    """The shapes of entries that were accepted as they came."""

    def __init__(self) -> None:
        """Initialize without a shape."""
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._distinct: set[bytes] = set()

    def encode(self, attrs: Attributes) -> Optional[bytes]:
        """Return what :func:`.attributes.encode` returns, where the shape of *attrs* is known.

        Returns:
            None where it is not, and where an attribute has no value, or one twice.
        """
        shape = self._shapes.get(tuple(attrs))
        if shape is None:
            return None
        lists = [*attrs.values()]
        counts = []
        for position in shape.several:
            values = lists[position]
            counts.append(len(values))
            joined = b"\0".join(values)
            if joined not in self._distinct and not self._is_distinct(values, joined):
                return None
            lists[position] = [joined]
        try:
            first, separators = shape.heads[tuple(counts)]
            body = b"\0".join([value for [value] in lists])
        except (KeyError, ValueError):  # other attributes have several values than before
            return None
        if body.count(b"\0") != separators:
            return None
        return b"%b%d\n%b" % (first, len(body), body)

    def _is_distinct(self, values: list[bytes], joined: bytes) -> bool:
        if len(set(values)) != len(values):
            return False
        if len(joined) <= _SHORT and joined.count(b"\0") == len(values) - 1:
            if len(self._distinct) >= _LISTS:
                self._distinct.clear()
            self._distinct.add(joined)
        return True

    def learn(self, attrs: Attributes) -> None:
        """Learn the shape of *attrs*, which were checked, and are stored as they are."""
        names, counts = tuple(attrs), tuple(map(len, attrs.values()))
        shape = self._shapes.get(names)
        if shape is None:
            if len(names) > _NAMES:
                return
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            shape = self._shapes[names] = Shape([], {})
        more = [place for place, count in enumerate(counts) if count != 1]
        if not set(shape.several).issuperset(more):
            shape.several[:] = sorted({*shape.several, *more})
            shape.heads.clear()
        elif len(shape.heads) >= _HEADS:
            shape.heads.clear()
        key = tuple(counts[place] for place in shape.several)
        shape.heads[key] = head(names, counts), sum(counts) - 1
