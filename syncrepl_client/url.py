# SPDX-License-Identifier: BSD-3-Clause
"""LDAP URLs (RFC 4516): server, search, and bind name."""

import re
from collections.abc import Sequence
from typing import Any, Optional, Union
from urllib.parse import quote

import ldap
import ldapurl

from .entries import dn
from .exceptions import LDAPUrlConflict, LDAPUrlError

SASL_MECHANISMS = (
    "EXTERNAL", "GSSAPI",
    "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
)  # fmt: skip
_OTHER_MECHANISMS = (
    "ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "GS2-KRB5", "GSS-SPNEGO", "LOGIN", "NTLM", "OAUTHBEARER",
    "PLAIN", "SCRAM-SHA-224", "SCRAM-SHA-384", "SCRAM-SHA-512",
)  # fmt: skip
_SCOPES = {
    ldap.SCOPE_BASE: "base",
    ldap.SCOPE_ONELEVEL: "one",
    ldap.SCOPE_SUBTREE: "sub",
}
_SCHEMES = ("ldap", "ldaps", "ldapi")
MATCH_ALL = "(objectClass=*)"
_NEXT_URL = r"(?i)[ \t\r\n]+(?=ldap[si]?://)"

OneUrl = Union[str, ldapurl.LDAPUrl]
Urls = Union[OneUrl, Sequence[OneUrl]]
"""One URL, or several for the same search: a sequence, or a str with spaces between them."""


class SearchUrl:
    """An LDAP URL (RFC 4516), or several for the same search, parsed and checked.

    Attributes:
        server: scheme and host of the current server, as ``ldap.initialize`` takes it.
        base: the search base, as spelled.
        scope: ``ldap.SCOPE_BASE``, ``SCOPE_ONELEVEL`` or ``SCOPE_SUBTREE``.
        filter: the search filter.
        attributes: the attribute list; empty stands for all user attributes.
        bindname: a bind DN, a SASL mechanism, or None for an anonymous bind.
        password: the one in the URL; not in the repr, never stored.
        servers: all servers, in the order of the URLs; default: ``server`` alone.
        scope_given: False if the URL has no scope, and ``scope`` is the default of RFC 4516.
    """

    def __init__(
        self,
        server: str,
        base: str,
        scope: int,
        filter: str,
        attributes: tuple[str, ...],
        *,
        bindname: Optional[str] = None,
        password: Optional[str] = None,
        servers: tuple[str, ...] = (),
        scope_given: bool = True,
    ) -> None:
        """Check that all of it can be sent.

        Raises:
            LDAPUrlError: something has octets that are no UTF-8, or NUL.
        """
        self.server = server
        self.base = base
        self.scope = scope
        self.filter = filter
        self.attributes = attributes
        self.bindname = bindname
        self.password = password
        self.servers = servers or (server,)
        self.scope_given = scope_given
        for text in (base, filter, *attributes):
            try:
                if b"\0" in text.encode():
                    raise ValueError
            except ValueError:
                raise LDAPUrlError(f"{text!r} has octets that are no UTF-8, or NUL") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SearchUrl):
            return NotImplemented
        ignored = dict.fromkeys(("password", "scope_given"))
        return {**vars(self), **ignored} == {**vars(other), **ignored}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def replace(self, **changes: Any) -> "SearchUrl":
        """Return this URL with other values of some attributes.

        Raises:
            LDAPUrlError: one of them can't be sent.
        """
        return SearchUrl(**{**vars(self), **changes})

    def at(self, server: str) -> "SearchUrl":
        """Return this URL with *server*, one of ``servers``, as the current one.

        Raises:
            ValueError: it is not one of them.
        """
        if server not in self.servers:
            raise ValueError(f"{server} is none of {', '.join(self.servers)}")
        return self.replace(server=server)

    def without_password(self) -> "SearchUrl":
        """Return this URL without its password."""
        return self.replace(password=None)

    def bound_as(self, bind_dn: Optional[str]) -> "SearchUrl":
        """Return this URL with another DN to bind as; None: as it is.

        Raises:
            LDAPUrlError: *bind_dn* is no DN.
        """
        if bind_dn is None:
            return self
        try:
            if not dn.key(bind_dn):
                raise ValueError
        except (ValueError, TypeError, AttributeError):
            raise LDAPUrlError(
                f"bind_dn is a DN like cn=reader,dc=example,dc=com, not {bind_dn!r}"
            ) from None
        return self.replace(bindname=bind_dn)

    @property
    def mechanism(self) -> Optional[str]:
        """The SASL mechanism to bind with, in upper case; None for a simple or anonymous bind."""
        name = (self.bindname or "").upper()
        return name if name in SASL_MECHANISMS else None

    @property
    def scope_warning(self) -> Optional[str]:
        """What a URL without a scope most likely was not meant to say; None where it has one."""
        if self.scope_given:
            return None
        return (
            f"the URL names no scope, so that {self.base} alone is followed, and not what is below "
            f"it (RFC 4516): write {self.server}/{self.base}??sub"
        )

    @property
    def matches_all(self) -> bool:
        """Whether the filter matches every entry."""
        return self.filter.replace(" ", "").lower() == MATCH_ALL.lower()

    def __str__(self) -> str:
        """Return the URLs, without a password and with blanks between; ``parse`` reads them."""
        first, *others = self.servers
        url = "{}/{}?{}?{}?{}".format(
            first,
            quote(self.base, safe="=,+"),
            ",".join(quote(name, safe="*+;") for name in self.attributes),
            _SCOPES[self.scope],
            quote(self.filter, safe="()=*&|!<>~:"),
        )
        if self.bindname:
            url += f"?bindname={quote(self.bindname, safe='=')}"
        return " ".join([url, *others])

    def same_search(self, other: "SearchUrl") -> bool:
        """Return True if base, scope, filter and attributes are those of *other*."""
        return not self._differing(other)

    def check_same_search(self, stored: "SearchUrl") -> None:
        """Check that the search of the store's URL is this one.

        Raises:
            LDAPUrlConflict: base, scope, filter or attributes differ.
        """
        differing = [
            f"{name} ({theirs!r} there, {ours!r} asked for)"
            for name, theirs, ours in (
                ("base", stored.base, self.base),
                ("scope", _SCOPES[stored.scope], _SCOPES[self.scope]),
                ("filter", stored.filter, self.filter),
                ("attributes", stored.attributes, self.attributes),
            )
            if name in self._differing(stored)
        ]
        if differing:
            raise LDAPUrlConflict(
                f"the store follows another search: {'; '.join(differing)}. "
                "Use change_search=True to be told the differences and follow "
                "this one from now on, another data_path to begin with an empty store, or the "
                "store's own URL (ldap_url=None)"
            )

    def _differing(self, other: "SearchUrl") -> list[str]:
        ours, theirs = self._search(), other._search()
        return [name for name in ours if ours[name] != theirs[name]]

    def _search(self) -> dict[str, object]:
        return {
            "base": dn.key(self.base),
            "scope": self.scope,
            "filter": self.filter,
            "attributes": _list(self.attributes),
        }


def _list(attributes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in attributes) or frozenset("*")


def parse(url: Urls) -> SearchUrl:
    """Parse one or several LDAP URLs.

    A missing scope is ``base``, as in RFC 4516.  Of several URLs the first determines search and
    bind name; the others must agree with it, or consist of scheme and host alone.

    Raises:
        LDAPUrlError: one is not an LDAP URL, has no host or base, an unknown scope, or an unknown
            critical extension; or two contradict each other.
    """
    urls = [_parse_one(each) for each in _split(url)]
    if not urls:
        raise LDAPUrlError("ldap_url is an empty list; it takes one LDAP URL at least")
    search = _search(urls[0])
    servers = [search.server]
    for number, other in enumerate(urls[1:], 2):
        if _is_server_only(other):
            servers.append(_server(other))
            continue
        again = _search(other)
        _check_agreement(search, again, number)
        servers.append(again.server)
    return search.replace(servers=tuple(dict.fromkeys(servers)))


def _split(url: Urls) -> list[OneUrl]:
    if isinstance(url, str):
        return list(re.split(_NEXT_URL, url)) if len(url.split()) > 1 else [url]
    if isinstance(url, (list, tuple)):
        return [
            part for each in url for part in (_split(each) if isinstance(each, str) else [each])
        ]
    return [url]  # type: ignore[list-item]  # what it is, is looked at next


def _parse_one(url: OneUrl) -> ldapurl.LDAPUrl:
    parsed = _parse_text(url) if isinstance(url, str) else url
    if not isinstance(parsed, ldapurl.LDAPUrl):
        raise LDAPUrlError(
            "ldap_url is a str, an ldapurl.LDAPUrl, a list of those or None, not "
            f"{type(url).__name__}"
        )
    # A '?' too few or a blank too many, and a password is where it would be shown.
    before = (parsed.hostport, parsed.dn, parsed.filterstr)
    if any("x-bindpw" in (part or "").lower() for part in before):
        raise LDAPUrlError(
            "ldap_url has X-BINDPW before its extensions: these come after the fourth '?', and "
            "a blank in a value is written %20"
        )
    return parsed


def _is_server_only(url: ldapurl.LDAPUrl) -> bool:
    return not (url.dn or url.attrs or url.filterstr or url.extensions) and url.scope is None


def _check_agreement(first: SearchUrl, other: SearchUrl, number: int) -> None:
    differing = first._differing(other)
    if first.bindname != other.bindname:
        differing.append("bindname")
    if other.password not in (None, first.password):
        differing.append("X-BINDPW")
    if differing:
        raise LDAPUrlError(
            f"the URLs of ldap_url say different things: number {number} has another "
            f"{', '.join(differing)} than the first; leave all but scheme and host out of it"
        )


def _server(url: ldapurl.LDAPUrl) -> str:
    if "@" in url.hostport and url.urlscheme != "ldapi":
        raise LDAPUrlError(
            "ldap_url has an '@' in its host: LDAP URLs have no user part, use the extensions "
            "bindname and X-BINDPW"
        )
    where = _where(url)
    if url.urlscheme not in _SCHEMES:
        raise LDAPUrlError(f"{where}: the scheme is one of {', '.join(_SCHEMES)}")
    if not url.hostport and url.urlscheme != "ldapi":
        raise LDAPUrlError(
            f"{where}: no host; write {url.urlscheme}://HOST/BASE?ATTRS?SCOPE?FILTER"
        )
    server = url.initializeUrl()
    if any(character.isspace() or character == "," for character in server):
        raise LDAPUrlError(
            # What stands there is not quoted: it may be part of a password.
            "ldap_url has a blank or a comma in a host; several servers are several URLs, with "
            "blanks between them, and each begins with its scheme"
        )
    return server


def _where(url: ldapurl.LDAPUrl) -> str:
    return f"{url.urlscheme}://{url.hostport}/{url.dn}"


def _search(url: ldapurl.LDAPUrl) -> SearchUrl:
    extensions = _extensions(url)
    server, where = _server(url), _where(url)
    if not url.dn:
        raise LDAPUrlError(f"{where}: no search base; write ldap://HOST/dc=example,dc=com?...")
    try:
        dn.key(url.dn)
    except ValueError:
        raise LDAPUrlError(f"{where}: the search base is not a DN") from None
    scope = ldap.SCOPE_BASE if url.scope is None else url.scope
    if scope not in _SCOPES:
        raise LDAPUrlError(f"{where}: the scope is one of {', '.join(_SCOPES.values())}")
    bindname = extensions.get("bindname")
    if (bindname or "").upper() in _OTHER_MECHANISMS:
        raise LDAPUrlError(
            f"{where}: bindname {bindname} is a SASL mechanism that is not supported; there are "
            f"{', '.join(SASL_MECHANISMS)}, or a DN and a password"
        )
    return SearchUrl(
        server=server,
        base=url.dn,
        scope=scope,
        scope_given=url.scope is not None,
        filter=url.filterstr or MATCH_ALL,
        attributes=tuple(name.strip() for name in url.attrs or () if name.strip()),
        bindname=bindname,
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
        elif known:
            raise LDAPUrlError(
                "ldap_url has something after bindname or X-BINDPW that is no extension of it: in "
                "there a comma is written %2C, or use the arguments bind_dn and password"
            )
    return {name: value for name, value in known.items() if value}
