# SPDX-License-Identifier: BSD-3-Clause
"""The attribute list of a search (RFC 4511, 4.5.1.8): which attributes it asks for."""

from collections.abc import Collection, Iterable, Sequence
from typing import Optional

from . import descriptions
from .attributes import Attributes
from .schema import OPERATIONAL, AttributeTypes

_ALL_USER, _ALL_OPERATIONAL, _NONE = "*", "+", "1.1"
_SPECIAL = (_ALL_USER, _ALL_OPERATIONAL, _NONE)
_CLASS = ("@", "!")
"""``@person`` stands for the attributes of an object class (RFC 4529).  They are not looked up:
such a name counts as all user attributes."""
_MOST_NAMES = 4096
"""The maximum number of names that are cached."""


def needs_types(requested: Collection[str]) -> bool:
    """Return True if the schema is needed to select attributes by this list."""
    return not {_ALL_USER, _ALL_OPERATIONAL} <= set(requested) and set(requested) != {_NONE}


def needs_no_names(requested: Collection[str]) -> bool:
    """Return True if the list asks for all user attributes, or for none."""
    return set(requested) <= {_ALL_USER, _NONE}


class Selection:
    """The attribute list of a search, applied to entries.

    Names are compared through the schema (RFC 4512, 2.5): ``commonName`` and ``2.5.4.3`` select
    ``cn``, ``name`` selects its subtypes, and ``cn`` selects ``cn;lang-de`` too.

    Attributes:
        blind: whether the schema is unknown; then only the requested names themselves select.
    """

    def __init__(
        self,
        requested: Sequence[str],
        types: Optional[AttributeTypes] = None,
        *,
        literal: bool = False,
        star_brings: Optional[str] = None,
    ) -> None:
        """Initialize from the attribute list of a search request; an empty one means ``*``.

        Args:
            requested: attribute names, object identifiers, ``*``, ``+``, ``1.1``.
            types: the server's attribute types; None if unknown.
            literal: as ``Dialect.selects_literally``: no supertypes, no ranges of language tags,
                no object classes, and no aliases with options.
            star_brings: as ``Dialect.star_brings``.
        """
        self._named = [name for name in requested if name not in _SPECIAL]
        classes = not literal and any(name.startswith(_CLASS) for name in requested)
        self._all_user = not requested or _ALL_USER in requested or classes
        self._all_operational = _ALL_OPERATIONAL in requested
        self._star_brings = star_brings if _ALL_USER in requested else None
        self._literal = literal
        self._types = types or AttributeTypes()
        self.blind = types is None
        self._taken: dict[str, bool] = {}
        self._yes: set[str] = set()

    def take(self, attrs: Attributes, known: Collection[str] = ()) -> Attributes:
        """Return the selected attributes of an entry; *attrs* itself if all are selected.

        Args:
            attrs: the attributes as the server sent them.
            known: names of the stored attributes of the entry.  If the selection is blind, they
                are selected too: they were when they were stored.
        """
        if (self._all_user and self._all_operational) or attrs.keys() <= self._yes:
            return attrs
        known = known if self.blind else ()
        return {name: values for name, values in attrs.items() if self.takes(name) or name in known}

    def takes(self, name: str) -> bool:
        """Return True if the attribute *name* (options included) is selected."""
        known = self._taken.get(name)
        if known is None:
            known = self._decide(name)
            if len(self._taken) < _MOST_NAMES:
                self._taken[name] = known
                if known:
                    self._yes.add(name)
        return known

    def _decide(self, name: str) -> bool:
        base, *options = name.lower().split(";")
        if self._is_operational(base):
            everything = self._all_operational or base == self._star_brings
        else:
            everything = self._all_user
        return everything or any(self._asks_for(each, base, options) for each in self._named)

    def _is_operational(self, base: str) -> bool:
        return base in OPERATIONAL if self.blind else self._types.is_operational(base)

    def _asks_for(self, requested: str, base: str, options: Collection[str]) -> bool:
        wanted, *wanted_options = requested.lower().split(";")
        if not self._literal:
            has_options = all(_has(each, options) for each in wanted_options)
            return has_options and self._types.identifier(wanted) in self._types.lineage(base)
        if wanted_options:
            return wanted == base and set(wanted_options) <= set(options)
        return self._identifies(wanted, base)

    # --- 389-ds

    def complete(self, attrs: Attributes, old: Attributes) -> Attributes:
        """Correct what 389-ds sends on resume.

        It sends all user attributes under their first names, and no operational ones.  Other
        searches get the selected attributes, each under the name that the list has.

        Args:
            attrs: the attributes as the server sent them.
            old: the attributes of the same entry in the store.

        Returns:
            the selected attributes as other searches get them, operational ones as in *old*.
        """
        mended = {
            self._as_requested(name): values for name, values in attrs.items() if self.takes(name)
        }
        sent = {name.lower() for name in mended}
        for name, values in old.items():
            if (
                name.lower() not in sent
                and self._is_operational(descriptions.base(name))
                and self.takes(name)
            ):
                mended[name] = values
        return mended

    def _as_requested(self, name: str) -> str:
        """Return the name that 389-ds has for *name* in other searches."""
        lower = name.lower()
        for requested in self._named:
            if requested.lower() == lower:
                return requested
            if ";" not in requested + name and self._identifies(requested, name):
                return requested
        return name

    def _identifies(self, one: str, other: str) -> bool:
        return self._types.identifier(one) == self._types.identifier(other)


def _has(wanted: str, options: Iterable[str]) -> bool:
    """Return True if *options* has *wanted*, or one of its language range (RFC 3866, 2.3)."""
    if wanted.endswith("-"):
        return any(f"{option}-".startswith(wanted) for option in options)
    return wanted in options
