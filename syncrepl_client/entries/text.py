# SPDX-License-Identifier: BSD-3-Clause
"""Attributes as text: a mapping over the attributes of an entry that decodes values on access."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Optional, overload

from .attributes import Attributes

if TYPE_CHECKING:
    from ldap.schema import SubSchema

BINARY = frozenset((
    # RFC 4519, RFC 4523, RFC 2798
    "userpassword", "x500uniqueidentifier", "usercertificate", "cacertificate",
    "crosscertificatepair", "certificaterevocationlist", "authorityrevocationlist",
    "deltarevocationlist", "supportedalgorithms", "jpegphoto", "usersmimecertificate",
    "userpkcs12", "audio", "photo", "javaserializeddata",
    # MIT Kerberos, FreeIPA, Samba, Active Directory
    "krbprincipalkey", "krbmkey", "krbextradata", "krbpwdhistory", "ipatokenotpkey",
    "ipanthash", "ipanttrustauthincoming", "ipanttrustauthoutgoing", "sambantpassword",
    "objectguid", "objectsid", "sidhistory", "thumbnailphoto", "msexchmailboxguid",
))  # fmt: skip
"""Lower-case names of attributes whose values are octets; used without a schema."""


def is_binary(name: str, schema: "Optional[SubSchema]" = None) -> bool:
    """Return True if the values of the attribute *name* are octets, not text.

    Args:
        name: the attribute with its options; ``;binary`` (RFC 4522) is always binary.
        schema: decides by the attribute's syntax, if it knows the attribute; otherwise
            :data:`BINARY` decides.
    """
    if schema is None:
        return _by_name(name) if len(name) <= _LONGEST else _by_name.__wrapped__(name)
    base, *options = name.lower().split(";")
    known = True if "binary" in options else _in_schema(schema, base)
    return base in BINARY if known is None else known


_LONGEST = 64
"""The longest name to cache; entries have the same attributes."""


@lru_cache(1024)
def _by_name(name: str) -> bool:
    base, *options = name.lower().split(";")
    return base in BINARY or "binary" in options


@lru_cache(1024)
def _in_schema(schema: "SubSchema", name: str) -> Optional[bool]:
    from ldap.schema import models  # whoever has a schema has imported it already

    try:  # SubSchema.get_syntax() overlooks what is inherited: cn's syntax is that of name
        syntax = schema.get_inheritedattr(models.AttributeType, name, "syntax")
    except KeyError:
        return None
    described = schema.get_obj(models.LDAPSyntax, syntax or "")
    if described is None:
        return syntax in models.NOT_HUMAN_READABLE_LDAP_SYNTAXES
    return bool(described.not_human_readable)


def decoded(values: Collection[bytes]) -> "Optional[list[str]]":
    """Return *values* as text; None if one is not UTF-8."""
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        return None


class Text(Mapping[str, "list[str]"]):
    """A read-only mapping of attribute names, in any case, to lists of ``str``.

    An attribute is either included as a whole or not at all.  Not included are attributes whose
    values are octets (certificates, photographs, password hashes), by their syntax in *schema* or,
    without one, by :data:`BINARY`; and attributes with a value that is not UTF-8.  Those are in
    :attr:`binary`.  So no value makes a method raise UnicodeDecodeError.

    Iteration yields names as the server spells them.  Values are decoded on access.
    """

    def __init__(self, attrs: Optional[Attributes], schema: "Optional[SubSchema]" = None) -> None:
        """Initialize from the attributes of an entry; None means no attributes.

        Args:
            attrs: the attributes as callbacks get them; the values are not copied.
            schema: the server's ``ldap.schema.SubSchema``, which knows the syntaxes.
        """
        self._attrs: Attributes = {}
        self._schema = schema
        self._names: dict[str, str] = {}
        for name, values in (attrs or {}).items():
            written = self._names.setdefault(name.lower(), name)
            if written != name:  # it is there in another spelling too
                values = [*self._attrs[written], *values]
            self._attrs[written] = values

    def _decoded(self, name: str) -> "Optional[list[str]]":
        return None if is_binary(name, self._schema) else decoded(self._attrs[name])

    def __getitem__(self, name: str) -> "list[str]":
        """Return the values of *name*.

        Raises:
            KeyError: the entry has no such attribute, or it is not text.
        """
        values = self._decoded(self._names[name.lower()])
        if values is None:
            raise KeyError(name)
        return values

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names.values() if self._decoded(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"

    @property
    def binary(self) -> Attributes:
        """The attributes that are not included because they are not text."""
        names = self._names.values()
        return {name: self._attrs[name] for name in names if self._decoded(name) is None}

    @overload
    def first(self, name: str, default: str) -> str: ...

    @overload
    def first(self, name: str, default: Optional[str] = None) -> Optional[str]: ...

    def first(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """Return the first value of *name*; *default* if there is none, or it is no text."""
        values = self.get(name)
        return values[0] if values else default
