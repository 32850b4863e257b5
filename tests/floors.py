# SPDX-License-Identifier: BSD-3-Clause
"""The layers of the package, from the bottom to the top.

A package or module may import from the floors below its own, and from nothing else of the
package; imports inside functions and under ``if TYPE_CHECKING`` count like any other.
``tests/unit/test_imports.py`` checks that, and the documentation draws its picture from here.
"""

from __future__ import annotations

FLOORS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "modes"),
    ("entries",),
    ("changes", "url"),
    ("callbacks", "protocol", "waiting"),
    ("changelog",),
    ("network", "store"),
    ("consumer", "engine"),
    ("client", "asynchronous"),
    ("together", "service"),
    ("formats", "doctor"),
    ("sinks",),
    ("testing",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""Packages and modules of ``syncrepl_client``; those on one floor do not import each other."""
