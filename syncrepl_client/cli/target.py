# SPDX-License-Identifier: BSD-3-Clause
"""Server, search and credentials: from the command line, checked and combined."""

import getpass
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

import click
import ldap

from .. import url
from ..entries import dn
from ..exceptions import ConfigurationError
from ..network.connector import Connector
from ..network.credentials import Credentials, Password, PasswordFile, PasswordVariable
from ..store import DataPath, read_store, store_exists
from ..url import SearchUrl
from ..waiting.waker import Waker

logger = logging.getLogger(__name__)

VARIABLE = "SYNCREPL_PASSWORD"
"""The environment variable that may hold the password."""
SCOPES = {
    "base": ldap.SCOPE_BASE,
    "one": ldap.SCOPE_ONELEVEL,
    "sub": ldap.SCOPE_SUBTREE,
}
_URL = ("ldap://", "ldaps://", "ldapi://")


class Given(NamedTuple):
    """The options and arguments as they were given."""

    words: Sequence[str]
    uri: Optional[str]
    base: Optional[str]
    scope: Optional[str]
    bind_dn: Optional[str]
    ask: bool
    password_file: Optional[str]
    simple: bool
    mechanism: Optional[str]
    sasl_user: Optional[str]
    authzid: Optional[str]
    starttls: bool
    cacert: Optional[str]
    cert: Optional[str]
    key: Optional[str]
    data_path: Optional[DataPath]


@dataclass(frozen=True)
class Target:
    """Server, search and credentials.

    Attributes:
        url: server, search and bind name; never a password.
        data_path: of the store; None for a store in memory.
        password: source of the password; not in the repr.
        sasl_user: the user name for SCRAM.
        authzid: the authorization identity for SASL.
        starttls: whether to start TLS.
        options: options of libldap.
    """

    url: SearchUrl
    data_path: Optional[DataPath] = None
    password: Optional[Password] = field(default=None, repr=False)
    sasl_user: Optional[str] = None
    authzid: Optional[str] = None
    starttls: bool = False
    options: Mapping[int, Any] = field(default_factory=dict)

    def connector(self, waker: Waker) -> Connector:
        """Return what connects to the servers.

        Raises:
            ConfigurationError: bind name and password don't go together.
        """
        return Connector(self.url, self.credentials, waker, self.starttls, self.options)

    @property
    def credentials(self) -> Credentials:
        """The credentials for the bind."""
        return Credentials.choose(self.url, self.password, self.sasl_user, self.authzid)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for ``Syncrepl``, all but *callback* and *mode*."""
        return {
            "data_path": self.data_path or "",
            "ldap_url": str(self.url),
            "starttls": self.starttls,
            "store": "memory" if self.data_path is None else "sqlite",
            "options": self.options,
            "password": self.password,
            "sasl_user": self.sasl_user,
            "authzid": self.authzid,
        }


def choose(given: Given) -> Target:
    """Return the target for the given options; prompts for the password last.

    Raises:
        click.UsageError: options can't be combined, or something is missing.
        StoreError: the data store with the URL can't be read.
    """
    _check_combinations(given)
    try:
        search = _bound(given, _search(given))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    return Target(
        search,
        given.data_path,
        _password(given, search),
        given.sasl_user,
        given.authzid,
        given.starttls,
        _ldap_options(given),
    )


def _check_combinations(given: Given) -> None:
    exclusive = (
        ("-W", given.ask, "-y", given.password_file),
        ("-D", given.bind_dn, "-Y", given.mechanism),
        ("-x", given.simple, "-Y", given.mechanism),
    )
    for one, has_one, other, has_other in exclusive:
        if has_one and has_other:
            raise click.UsageError(f"{one} and {other} exclude each other.")
    if given.cert and not given.key:
        raise click.UsageError("--cert needs the key of the certificate: --key FILE.")
    if given.key and not given.cert:
        raise click.UsageError("--key needs its certificate: --cert FILE.")


# --- server and search


def _search(given: Given) -> SearchUrl:
    if given.words and given.words[0].lower().startswith(_URL):
        return _search_by_url(given)
    if given.words and "://" in given.words[0]:
        raise click.UsageError(
            f"{given.words[0].partition('://')[0]}:// is not an LDAP URL: it begins with "
            "ldap://, ldaps:// or ldapi://."
        )
    if given.base is not None:
        return _search_by_options(given, given.base)
    if given.words or given.scope:
        raise click.UsageError("Say where to search: -b BASE, or one URL for all of it.")
    stored = None if given.data_path is None else _stored(given.data_path)
    if stored is None:
        raise click.UsageError(
            "Say what to follow: ldap://HOST/BASE?ATTRS?sub?FILTER, or -H ldap://HOST -b BASE."
            + ("" if given.data_path is None else " There is no data store yet that knows it.")
        )
    return stored if given.uri is None else stored.replace(**_at(given.uri))


def _search_by_url(given: Given) -> SearchUrl:
    also = [
        name
        for name, value in (("-H", given.uri), ("-b", given.base), ("-s", given.scope))
        if value is not None
    ]
    if also:
        raise click.UsageError(f"The URL says what {' and '.join(also)} would: use one of them.")
    if not all(word.lower().startswith(_URL) for word in given.words):
        raise click.UsageError("A URL has the filter and the attributes in it: nothing follows it.")
    found = url.parse(list(given.words))
    if found.password is not None:
        raise click.UsageError(
            "A password in the arguments is seen by everybody on this machine: leave X-BINDPW out, "
            f"and use -W, -y FILE or the environment variable {VARIABLE}."
        )
    if found.scope_warning is not None:
        logger.warning(found.scope_warning)
    return found


def _search_by_options(given: Given, base: str) -> SearchUrl:
    if given.uri is None:
        raise click.UsageError("Say which server: -H ldap://HOST.")
    try:
        if not dn.key(base):
            raise ValueError
    except ValueError:
        raise click.UsageError(f"-b takes a DN like dc=example,dc=com, not {base!r}.") from None
    words = list(given.words)
    condition = words.pop(0) if words and "=" in words[0] else url.MATCH_ALL
    return SearchUrl(
        base=base,
        scope=SCOPES[given.scope or "sub"],
        filter=condition if condition.startswith("(") else f"({condition})",
        attributes=tuple(words),
        **_at(given.uri),
    )


def _at(uri: str) -> dict[str, Any]:
    """Return the servers of -H as arguments for SearchUrl."""
    servers = uri.split()
    if not servers or not all(each.lower().startswith(_URL) for each in servers):
        raise click.UsageError("-H takes ldap://HOST, ldaps://HOST or ldapi:///.")
    first, *others = (each.rstrip("/") for each in servers)
    if any("/" in each.partition("://")[2] or "?" in each for each in (first, *others)):
        raise click.UsageError("-H takes a server alone: what to search is -b, -s and a filter.")
    parsed = url.parse([f"{first}/dc=x", *others])
    return {"server": parsed.server, "servers": parsed.servers}


def _stored(data_path: DataPath) -> Optional[SearchUrl]:
    if not store_exists(data_path):
        return None
    with read_store(data_path) as reader:  # it may be in use
        stored = reader.origin.url
    return None if stored is None else url.parse(stored)


# --- credentials


def _bound(given: Given, search: SearchUrl) -> SearchUrl:
    """Return *search* with the bind name of -D or -Y."""
    if given.mechanism and given.mechanism.upper() not in url.SASL_MECHANISMS:
        raise click.UsageError(f"-Y takes one of {', '.join(url.SASL_MECHANISMS)}.")
    name = given.bind_dn or (given.mechanism or "").upper() or None
    search = search if name is None else search.replace(bindname=name)
    takes_user = (search.mechanism or "").startswith("SCRAM")
    if takes_user and not given.sasl_user:
        raise click.UsageError(f"{search.mechanism} wants a user name: -U USER.")
    if given.sasl_user and not takes_user:
        raise click.UsageError("-U is for -Y SCRAM-SHA-256 or SCRAM-SHA-1.")
    if given.authzid and not search.mechanism:
        raise click.UsageError("-X is for SASL: -Y MECH.")
    return search


def _password(given: Given, search: SearchUrl) -> Optional[Password]:
    who = given.sasl_user if search.mechanism else search.bindname
    if who is None:
        if given.ask or given.password_file:
            raise click.UsageError(
                "A password is for somebody: -D BINDDN, or -Y SCRAM-... -U USER."
            )
        return None
    if given.password_file:
        return PasswordFile(given.password_file)
    if given.ask:
        return _asked(who)
    if os.environ.get(VARIABLE):
        return PasswordVariable(VARIABLE)
    raise click.UsageError(
        f"There is no password for {who}: -W asks for it, -y FILE reads it, "
        f"or the environment variable {VARIABLE} holds it."
    )


def _asked(who: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            password = getpass.getpass(f"Password for {who}: ")
    except getpass.GetPassWarning:
        raise click.UsageError(
            f"-W needs a terminal to ask on: use -y FILE or the environment variable {VARIABLE}."
        ) from None
    except EOFError:
        sys.stderr.write("\n")
        raise click.Abort from None
    if not password:
        raise click.UsageError("An empty password would be taken for an anonymous bind.")
    return password


def _ldap_options(given: Given) -> dict[int, Any]:
    files = (
        (ldap.OPT_X_TLS_CACERTFILE, given.cacert),
        (ldap.OPT_X_TLS_CERTFILE, given.cert),
        (ldap.OPT_X_TLS_KEYFILE, given.key),
    )
    return {option: os.path.abspath(path) for option, path in files if path is not None}
