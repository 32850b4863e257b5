# SPDX-License-Identifier: BSD-3-Clause
"""The table of a stream: the arguments of its client."""

import sys
from typing import Any, Optional, Union

import ldap

from ... import url
from ...changelog import Changelog, Keep
from ...changelog.policy import SECRETS
from ...engine.arguments import choose_lease
from ...engine.baseclient import HEARTBEAT_SECONDS
from ...engine.callbackretry import RetryCallback
from ...engine.patience import LAG_PATIENCE
from ...exceptions import SyncreplError
from ...modes import SyncreplMode
from ...network.credentials import Credentials, PasswordFile, PasswordVariable
from ...protocol.guard import DEFAULT_LIMIT
from ...store import DataPath, file_name, read_store, store_exists
from ...store.base import check_path
from ...store.location import database_of, in_schema
from ...url import SearchUrl
from . import values
from .values import Table

_TLS = (
    ("cacert", ldap.OPT_X_TLS_CACERTFILE),
    ("cert", ldap.OPT_X_TLS_CERTFILE),
    ("key", ldap.OPT_X_TLS_KEYFILE),
)


def arguments_of(table: Table) -> dict[str, Any]:
    """Return the keyword arguments for ``Syncrepl``, all but *callback*; note mistakes."""
    search: Optional[SearchUrl] = table.get("url", _search, None, required=True)
    change_search = table.get("change_search", values.flag, False)
    limit: Union[int, float, None] = DEFAULT_LIMIT
    path = _place(table)
    arguments = {
        "data_path": path,
        "mode": SyncreplMode.REFRESH_AND_PERSIST,
        "starttls": table.get("starttls", values.flag, False),
        "options": _tls_options(table),
        "heartbeat": table.get("heartbeat", values.seconds, HEARTBEAT_SECONDS),
        "reconcile_every": table.get("reconcile_every", values.seconds, None),
        "max_deletes": table.get("max_deletes", values.max_deletes, limit),
        "lag_patience": table.get("lag_patience", values.seconds, LAG_PATIENCE),
        "change_search": change_search,
        "initial": table.get("initial", values.one_of("tell", "silent"), "tell"),
        "trust_persist": table.get("trust_persist", values.flag, False),
        "changelog": _changelog(table),
        "lease": _lease(table, path),
        "on_callback_error": RetryCallback(
            retries=table.get("callback_retries", values.whole(0), sys.maxsize)
        ),
    }
    password = secret_of(table, "password")
    search = _bound(table, search)
    users: dict[str, Any] = {
        "password": password,
        "sasl_user": table.get("sasl_user", values.text, None),
        "authzid": table.get("authzid", values.text, None),
    }
    if search is not None and table.is_well:
        try:
            Credentials.choose(search, **users)
            _check_store(path, search, change_search=change_search)
        except SyncreplError as error:
            table.mistake((), str(error))
    return {**arguments, **users, "ldap_url": None if search is None else str(search)}


# --- server and search


def _search(value: Any) -> SearchUrl:
    found = url.parse(values.texts(value) if isinstance(value, list) else values.text(value))
    if found.password is not None:
        raise ValueError("secrets are not written here: use password_file or password_variable")
    return found


def _bound(table: Table, search: Optional[SearchUrl]) -> Optional[SearchUrl]:
    """Return *search* with the name or the mechanism to bind with."""
    bind_dn = table.get("bind_dn", values.text, None)
    mechanism = table.get("mechanism", values.one_of(*url.SASL_MECHANISMS), None)
    if bind_dn is not None and mechanism is not None:
        table.mistake(("mechanism",), "bind_dn and mechanism exclude each other")
    if search is None or bind_dn is mechanism is None:
        return search
    if search.bindname is not None:
        key = "bind_dn" if bind_dn is not None else "mechanism"
        table.mistake((key,), "the URL has a bindname already")
    try:
        return search.bound_as(bind_dn) if bind_dn else search.replace(bindname=mechanism)
    except SyncreplError as error:
        table.mistake(("bind_dn",), str(error))
        return None


def _tls_options(table: Table) -> dict[int, Any]:
    found = {option: table.get(name, values.file, None) for name, option in _TLS}
    if ("cert" in table) != ("key" in table):
        table.mistake((), "cert and key belong together")
    return {option: path for option, path in found.items() if path is not None}


def secret_of(table: Table, name: str) -> Union[PasswordFile, PasswordVariable, None]:
    """Return where a secret is: in ``NAME_file`` or in ``NAME_variable``; note mistakes."""
    file = table.get(f"{name}_file", _secret_file, None)
    variable = table.get(f"{name}_variable", _secret_variable, None)
    if file is not None and variable is not None:
        table.mistake((f"{name}_variable",), f"{name}_file is there, too: use one of them")
    return file or variable


def _secret_file(value: Any) -> PasswordFile:
    secret = PasswordFile(values.text(value))
    secret()
    return secret


def _secret_variable(value: Any) -> PasswordVariable:
    secret = PasswordVariable(values.text(value))
    secret()
    return secret


# --- the store


def _lease(table: Table, path: DataPath) -> Optional[float]:
    """Return the lease of a stream that shares its store; None: it does not; note mistakes."""
    standby = table.get("standby", values.flag, False)
    lease = table.get("lease", lambda value: choose_lease(False, values.seconds(value)), None)
    if (standby or lease is not None) and path and database_of(path) is None:
        key = "standby" if standby else "lease"
        table.mistake((key,), "only a PostgreSQL database in data can be shared")
    return choose_lease(standby, lease)


def _place(table: Table) -> DataPath:
    """Return the place of the store; note mistakes."""
    path: str = table.get("data", values.text, "", required=True)
    schema = table.get("schema", values.text, None)
    database = database_of(path)
    if database is not None and database.has_password:
        table.mistake(("data",), "secrets are not written here: use libpq's password file")
    try:
        return in_schema(path, schema)
    except SyncreplError as error:
        table.mistake(("schema",), str(error))
        return path


def _check_store(data_path: DataPath, search: SearchUrl, *, change_search: bool) -> None:
    """Check that the store is, or could be, that of *search*.

    Raises:
        SyncreplError: it is not.
    """
    if database_of(data_path) is None:
        check_path(file_name(data_path))
    if store_exists(data_path) and not change_search:
        with read_store(data_path) as reader:
            if reader.origin.url is not None:
                search.check_same_search(url.parse(reader.origin.url))


def _changelog(table: Table) -> Optional[Changelog]:
    """Return the settings of the log; None if there is to be none."""
    if not isinstance(table.values.get("log", ""), dict):
        age = table.get("log", values.seconds, None)
        return None if age is None else Changelog(age)
    log = table.table("log")
    keep = Keep(
        log.get("keep", values.seconds, None),
        log.get("changes", values.whole(1), None),
        log.get("size", values.whole(1), None),
    )
    more: list[str] = []
    exclude = {*SECRETS, *log.get("exclude", values.texts, more)}
    chosen = Changelog(
        keep,
        for_sinks=log.get("for_sinks", values.seconds, Changelog().for_sinks.seconds),
        exclude=exclude,
        initial=log.get("initial", values.one_of("snapshot", "each"), "snapshot"),
    )
    log.end()
    return chosen
