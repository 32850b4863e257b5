# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

LDAP_SCOPE_BASE: int
LDAP_SCOPE_ONELEVEL: int
LDAP_SCOPE_SUBTREE: int
LDAP_SCOPE_SUBORDINATES: int
SEARCH_SCOPE_STR: dict[int | None, str]
SEARCH_SCOPE: dict[str, int | None]

def isLDAPUrl(s: str) -> bool: ...
def ldapUrlEscape(s: str) -> str: ...

class LDAPUrlExtension:
    critical: bool
    extype: str | None
    exvalue: str | None
    def __init__(
        self,
        extensionStr: str | None = ...,
        critical: int = ...,
        extype: str | None = ...,
        exvalue: str | None = ...,
    ) -> None: ...
    def unparse(self) -> str: ...

class LDAPUrlExtensions(MutableMapping[str, LDAPUrlExtension]):
    def __init__(self, default: Mapping[str, LDAPUrlExtension] | None = ...) -> None: ...
    def __getitem__(self, name: str) -> LDAPUrlExtension: ...
    def __setitem__(self, name: str, value: LDAPUrlExtension) -> None: ...
    def __delitem__(self, name: str) -> None: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def parse(self, extListStr: str) -> None: ...
    def unparse(self) -> str: ...

class LDAPUrl:
    urlscheme: str
    hostport: str
    dn: str
    attrs: list[str] | None
    scope: int | None
    filterstr: str | None
    # None where the URL has a fifth part, and it is empty.
    extensions: LDAPUrlExtensions | None
    who: str | None
    cred: str | None
    def __init__(
        self,
        ldapUrl: str | None = ...,
        urlscheme: str = ...,
        hostport: str = ...,
        dn: str = ...,
        attrs: list[str] | None = ...,
        scope: int | None = ...,
        filterstr: str | None = ...,
        extensions: LDAPUrlExtensions | None = ...,
        who: str | None = ...,
        cred: str | None = ...,
    ) -> None: ...
    def applyDefaults(self, defaults: Mapping[str, Any]) -> None: ...
    def initializeUrl(self) -> str: ...
    def unparse(self) -> str: ...
