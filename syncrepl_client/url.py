# SPDX-License-Identifier: BSD-3-Clause
"""LDAP URLs: what to follow, where, and as whom."""

from dataclasses import dataclass, field, replace
from typing import Optional, Union
from urllib.parse import quote

import ldap
import ldapurl

from . import dn
from .exceptions import LDAPUrlConflict, LDAPUrlError

SASL_MECHANISMS = ("EXTERNAL", "GSSAPI")
_SCOPES = {
    ldap.SCOPE_BASE: "base",
    ldap.SCOPE_ONELEVEL: "one",
    ldap.SCOPE_SUBTREE: "sub",
}
_SCHEMES = ("ldap", "ldaps", "ldapi")
MATCH_ALL = "(objectClass=*)"


@dataclass(frozen=True)
class SearchUrl:
    """An LDAP URL (RFC 4516), parsed and found usable.

    Attributes:
        server: scheme and host, as ``ldap.initialize`` takes it.
        base: the search base, as written.
        scope: ``ldap.SCOPE_BASE``, ``SCOPE_ONELEVEL`` or ``SCOPE_SUBTREE``.
        filter: the search filter.
        attributes: the attribute list; empty stands for all user attributes.
        bindname: whom to bind as: a DN, ``GSSAPI``, ``EXTERNAL``, or None for anonymous.
        password: for a simple bind; neither shown nor stored.
    """

    server: str
    base: str
    scope: int
    filter: str
    attributes: tuple[str, ...]
    bindname: Optional[str] = None
    password: Optional[str] = field(default=None, repr=False, compare=False)

    @property
    def mechanism(self) -> Optional[str]:
        """The SASL mechanism to bind with; None for a simple or anonymous bind."""
        name = (self.bindname or "").upper()
        return name if name in SASL_MECHANISMS else None

    @property
    def matches_all(self) -> bool:
        """Whether the filter matches every entry."""
        return self.filter.replace(" ", "").lower() == MATCH_ALL.lower()

    def with_password(self, password: Optional[str]) -> "SearchUrl":
        """Return this URL with *password*, unless it has one.

        Raises:
            LDAPUrlError: there is a bind DN, but no password; a server would take that for
                an anonymous bind (RFC 4513, 5.1.2).
        """
        chosen = replace(self, password=self.password or password)
        if chosen.bindname and not chosen.mechanism and not chosen.password:
            raise LDAPUrlError(
                f"bindname {chosen.bindname!r} without a password: give one in X-BINDPW or "
                f"password=, or one of {', '.join(SASL_MECHANISMS)} as bindname"
            )
        return chosen

    def __str__(self) -> str:
        """Return the URL without its password."""
        url = "{}/{}?{}?{}?{}".format(
            self.server,
            quote(self.base, safe="=,+"),
            ",".join(quote(name, safe="*+;") for name in self.attributes),
            _SCOPES[self.scope],
            quote(self.filter, safe="()=*&|!<>~:"),
        )
        return f"{url}?bindname={quote(self.bindname, safe='=')}" if self.bindname else url

    def check_same_search(self, stored: "SearchUrl") -> None:
        """See that the store's search is this one.

        Raises:
            LDAPUrlConflict: base, scope, filter or attributes differ.
        """
        differing = [
            f"{name} ({theirs!r} there, {ours!r} asked for)"
            for name, theirs, ours, equal in (
                ("base", stored.base, self.base, dn.key(stored.base) == dn.key(self.base)),
                ("scope", _SCOPES[stored.scope], _SCOPES[self.scope], stored.scope == self.scope),
                ("filter", stored.filter, self.filter, stored.filter == self.filter),
                ("attributes", stored.attributes, self.attributes,
                 _list(stored.attributes) == _list(self.attributes)),
            )
            if not equal
        ]  # fmt: skip
        if differing:
            raise LDAPUrlConflict(
                f"the store follows another search: {'; '.join(differing)}. "
                "Use another data_path for this search, or the store's own URL (ldap_url=None)"
            )


def _list(attributes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in attributes) or frozenset("*")


def parse(url: Union[str, ldapurl.LDAPUrl]) -> SearchUrl:
    """Return *url* parsed; a scope that is not there is ``base``, as RFC 4516 has it.

    Raises:
        LDAPUrlError: it is not an LDAP URL, has no host or base, an unknown scope or a
            critical extension that is not understood.
    """
    if isinstance(url, str):
        url = _parse_text(url)
    elif not isinstance(url, ldapurl.LDAPUrl):
        raise LDAPUrlError(
            f"ldap_url is a str, an ldapurl.LDAPUrl or None, not {type(url).__name__}"
        )
    parsed = url
    extensions = _extensions(parsed)
    if "@" in parsed.hostport and parsed.urlscheme != "ldapi":
        raise LDAPUrlError(
            "ldap_url has an '@' in its host: LDAP URLs have no user part, use the extensions "
            "bindname and X-BINDPW"
        )
    where = f"{parsed.urlscheme}://{parsed.hostport}/{parsed.dn}"
    if parsed.urlscheme not in _SCHEMES:
        raise LDAPUrlError(f"{where}: the scheme is one of {', '.join(_SCHEMES)}")
    if not parsed.hostport and parsed.urlscheme != "ldapi":
        raise LDAPUrlError(
            f"{where}: no host; write {parsed.urlscheme}://HOST/BASE?ATTRS?SCOPE?FILTER"
        )
    if not parsed.dn:
        raise LDAPUrlError(f"{where}: no search base; write ldap://HOST/dc=example,dc=com?...")
    try:
        dn.key(parsed.dn)
    except ValueError:
        raise LDAPUrlError(f"{where}: the search base {parsed.dn!r} is not a DN") from None
    scope = ldap.SCOPE_BASE if parsed.scope is None else parsed.scope
    if scope not in _SCOPES:
        raise LDAPUrlError(f"{where}: the scope is one of {', '.join(_SCOPES.values())}")
    return SearchUrl(
        server=parsed.initializeUrl(),
        base=parsed.dn,
        scope=scope,
        filter=parsed.filterstr or MATCH_ALL,
        attributes=tuple(name.strip() for name in parsed.attrs or () if name.strip()),
        bindname=extensions.get("bindname"),
        password=extensions.get("x-bindpw"),
    )


def _parse_text(url: str) -> ldapurl.LDAPUrl:
    # The text is not quoted in errors: it may hold a password.
    if not ldapurl.isLDAPUrl(url):
        raise LDAPUrlError("ldap_url does not begin with ldap://, ldaps:// or ldapi://")
    if url.count("?") > 4:
        raise LDAPUrlError(
            "ldap_url has more than four '?': write one in a value as %3F, and put commas between "
            "the extensions"
        )
    try:
        return ldapurl.LDAPUrl(url)
    except ValueError:
        raise LDAPUrlError(
            "ldap_url cannot be understood: its parts are "
            "ldap://HOST/BASE?ATTRIBUTES?SCOPE?FILTER?EXTENSIONS, and the scope is one of "
            f"{', '.join(_SCOPES.values())}"
        ) from None


def _extensions(url: ldapurl.LDAPUrl) -> dict[str, str]:
    # What is not understood is not quoted either: it may be part of a password whose comma
    # was not escaped.
    known: dict[str, str] = {}
    for name, extension in (url.extensions or {}).items():
        if (name or "").lower() in ("bindname", "x-bindpw"):
            known[name.lower()] = extension.exvalue or ""
        elif extension.critical:
            raise LDAPUrlError(
                "ldap_url has a critical extension that is not understood: there are bindname and "
                "X-BINDPW (write a comma in a value as %2C)"
            )
    return {name: value for name, value in known.items() if value}
