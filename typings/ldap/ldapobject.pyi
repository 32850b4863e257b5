# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ldap.controls import RequestControl, ResponseControl
from ldap.extop import ExtendedRequest, ExtendedResponse
from ldap.sasl import sasl

# (OID, criticality, encoded value), as the C module gives and takes controls.
_ControlTuple = tuple[str, bool, bytes | None]
_Controls = Sequence[RequestControl] | None
_Modlist = Sequence[tuple[int, str, bytes | Sequence[bytes] | None]]
_Addlist = Sequence[tuple[str, bytes | Sequence[bytes]]]
_Entry = tuple[str, dict[str, list[bytes]]]

class _LDAP:
    """The C module's connection: a message as it comes, its controls not decoded."""

    # None where nothing has arrived (timeout 0). The list holds, for each message,
    # (DN, attributes, controls), (None, URLs, controls) or (OID, value, controls)
    # with add_ctrls and add_intermediates, and without the controls otherwise.
    # The last two, of an extended response, come only with add_extop.
    def result4(
        self,
        msgid: int = ...,
        all: int = ...,
        timeout: float = ...,
        add_ctrls: int = ...,
        add_intermediates: int = ...,
        add_extop: int = ...,
    ) -> tuple[Any, ...] | None: ...
    def get_option(self, option: int) -> Any: ...
    def set_option(self, option: int, value: Any) -> None: ...

class _Lock:
    def acquire(self) -> bool: ...
    def release(self) -> None: ...

class SimpleLDAPObject:
    _l: _LDAP
    _uri: str
    _ldap_object_lock: _Lock
    timeout: float

    def __init__(
        self,
        uri: str,
        trace_level: int = ...,
        trace_file: Any = ...,
        trace_stack_limit: int | None = ...,
        bytes_mode: None = ...,
        bytes_strictness: None = ...,
        fileno: Any = ...,
    ) -> None: ...
    def _ldap_call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...
    def fileno(self) -> int: ...
    def abandon_ext(
        self, msgid: int, serverctrls: _Controls = ..., clientctrls: _Controls = ...
    ) -> None: ...
    def abandon(self, msgid: int) -> None: ...
    def cancel(
        self, cancelid: int, serverctrls: _Controls = ..., clientctrls: _Controls = ...
    ) -> int: ...
    def add(self, dn: str, modlist: _Addlist) -> int: ...
    def add_s(self, dn: str, modlist: _Addlist) -> Any: ...
    def modify_s(self, dn: str, modlist: _Modlist) -> Any: ...
    def delete_s(self, dn: str) -> Any: ...
    def rename_s(
        self,
        dn: str,
        newrdn: str,
        newsuperior: str | None = ...,
        delold: int = ...,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
    ) -> Any: ...
    def simple_bind(
        self,
        who: str | None = ...,
        cred: str | bytes | None = ...,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
    ) -> int: ...
    def simple_bind_s(
        self,
        who: str | None = ...,
        cred: str | bytes | None = ...,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
    ) -> tuple[int, list[Any], int, list[ResponseControl]]: ...
    def sasl_interactive_bind_s(
        self,
        who: str,
        auth: sasl,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        sasl_flags: int = ...,
    ) -> None: ...
    def sasl_non_interactive_bind_s(
        self,
        sasl_mech: str,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        sasl_flags: int = ...,
        authz_id: str = ...,
    ) -> None: ...
    def sasl_external_bind_s(
        self,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        sasl_flags: int = ...,
        authz_id: str = ...,
    ) -> None: ...
    def sasl_gssapi_bind_s(
        self,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        sasl_flags: int = ...,
        authz_id: str = ...,
    ) -> None: ...
    def extop(
        self,
        extreq: ExtendedRequest,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
    ) -> int: ...
    # A tuple (OID, value), or what extop_resp_class makes of it.
    def extop_s(
        self,
        extreq: ExtendedRequest,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        extop_resp_class: type[ExtendedResponse] | None = ...,
    ) -> Any: ...
    def search_ext(
        self,
        base: str,
        scope: int,
        filterstr: str | None = ...,
        attrlist: Sequence[str] | None = ...,
        attrsonly: int = ...,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        timeout: float = ...,
        sizelimit: int = ...,
    ) -> int: ...
    # Search references come as (None, [URL, ...]); they are left out here.
    def search_ext_s(
        self,
        base: str,
        scope: int,
        filterstr: str | None = ...,
        attrlist: Sequence[str] | None = ...,
        attrsonly: int = ...,
        serverctrls: _Controls = ...,
        clientctrls: _Controls = ...,
        timeout: float = ...,
        sizelimit: int = ...,
    ) -> list[_Entry]: ...
    def search_s(
        self,
        base: str,
        scope: int,
        filterstr: str | None = ...,
        attrlist: Sequence[str] | None = ...,
        attrsonly: int = ...,
    ) -> list[_Entry]: ...
    def result(
        self, msgid: int = ..., all: int = ..., timeout: float | None = ...
    ) -> tuple[int | None, list[Any] | None]: ...
    def result3(
        self,
        msgid: int = ...,
        all: int = ...,
        timeout: float | None = ...,
        resp_ctrl_classes: Mapping[str, type[ResponseControl]] | None = ...,
    ) -> tuple[int | None, list[Any] | None, int | None, list[ResponseControl]]: ...
    def result4(
        self,
        msgid: int = ...,
        all: int = ...,
        timeout: float | None = ...,
        add_ctrls: int = ...,
        add_intermediates: int = ...,
        add_extop: int = ...,
        resp_ctrl_classes: Mapping[str, type[ResponseControl]] | None = ...,
    ) -> tuple[
        int | None,
        list[Any] | None,
        int | None,
        list[ResponseControl],
        str | None,
        bytes | None,
    ]: ...
    def start_tls_s(self) -> None: ...
    def whoami_s(self, serverctrls: _Controls = ..., clientctrls: _Controls = ...) -> str: ...
    def unbind_ext(self, serverctrls: _Controls = ..., clientctrls: _Controls = ...) -> None: ...
    def unbind_ext_s(self, serverctrls: _Controls = ..., clientctrls: _Controls = ...) -> None: ...
    def unbind(self) -> None: ...
    def unbind_s(self) -> None: ...
    def get_option(self, option: int) -> Any: ...
    def set_option(self, option: int, invalue: Any) -> None: ...
    # None where the server shows no root DSE.
    def read_rootdse_s(
        self, filterstr: str | None = ..., attrlist: Sequence[str] | None = ...
    ) -> dict[str, list[bytes]] | None: ...

LDAPObject = SimpleLDAPObject
