# SPDX-License-Identifier: BSD-3-Clause
"""Attributes as text: a view of an entry that decodes what is text, when it is asked for."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Optional, overload

from .messages import Attributes

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
"""Names, in lower case, of attributes whose values are octets, for those without a schema."""


def is_binary(name: str, schema: "Optional[SubSchema]" = None) -> bool:
    """Say whether the attribute *name* is made for octets.

    Args:
        name: the attribute, with its options; ``;binary`` (RFC 4522) says so by itself.
        schema: decides by the attribute's syntax, if it knows the attribute; else
            :data:`BINARY` decides.
    """
    base, *options = name.lower().split(";")
    if "binary" in options:
        return True
    known = None if schema is None else _in_schema(schema, base)
    return base in BINARY if known is None else known


@lru_cache(1024)  # entries have the same attributes
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


class Text(Mapping[str, "list[str]"]):
    """The text in *attrs*: attribute names to lists of ``str``.  Names are found in any case.

    An attribute is here as a whole, or not at all.  It is not where it is made for octets
    (certificates, photographs, password hashes), by its syntax in *schema* or, without one,
    by a table; nor where one of its values is not UTF-8.  Those are in :attr:`binary`.  So no
    value can make this raise.

    Iteration gives names as the server wrote them.  Values are decoded when they are asked for.
    """

    def __init__(self, attrs: Optional[Attributes], schema: "Optional[SubSchema]" = None) -> None:
        """Take the attributes of an entry; None is taken for no attributes.

        Args:
            attrs: the attributes, as callbacks are handed them; the values are not copied.
            schema: the server's ``ldap.schema.SubSchema``, which knows syntaxes.
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
        if is_binary(name, self._schema):
            return None
        try:
            return [value.decode() for value in self._attrs[name]]
        except UnicodeDecodeError:
            return None

    def __getitem__(self, name: str) -> "list[str]":
        """Return the values of *name*.

        Raises:
            KeyError: there is no such attribute, or it is no text.
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
        """The attributes that are not here, as they were handed over."""
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
