# SPDX-License-Identifier: BSD-3-Clause
"""Credentials for the bind, and where the password comes from: it is read at every bind."""

import logging
import os
import stat
from typing import Callable, NamedTuple, Optional, Union

from ..exceptions import ConfigurationError, LDAPUrlError
from ..url import SASL_MECHANISMS, SearchUrl

logger = logging.getLogger(__name__)

Password = Union[str, bytes, Callable[[], Union[str, bytes]]]
"""A password, or what returns it: :class:`PasswordFile`, :class:`PasswordVariable`, a function."""

LONGEST = 65536
"""The longest password in octets; a longer line means that it is the wrong file."""
_READABLE = stat.S_IRGRP | stat.S_IROTH


class PasswordFile:
    """A password in the first line of a file, read at every bind.

    The line end, LF or CR LF, is not part of the password; everything else is, including spaces.
    Further lines are ignored.  (``ldapsearch -y`` uses the whole file, including the line end that
    most editors add.)

    If the group or others may read the file, it is used, and a warning is logged once.
    """

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Initialize from a path, made absolute: the program may change its directory later.

        Raises:
            ConfigurationError: *path* is not a path, or empty.
        """
        _check_path(path)
        self.path = os.path.abspath(path)
        self._warned = False

    def __repr__(self) -> str:
        return f"PasswordFile({self.path!r})"

    def __call__(self) -> bytes:
        """Return the password in the file.

        Raises:
            ConfigurationError: the file is missing, unreadable, empty, or not a password file.
        """
        try:
            with open(self.path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                line = file.readline(LONGEST + 1)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the password file can't be read: {error}") from error
        if len(line) > LONGEST:
            raise ConfigurationError(
                f"the password file {self.path} has more than {LONGEST} octets in its first line"
            )
        self._look_at(mode)
        line = line[:-2] if line.endswith(b"\r\n") else line[:-1] if line.endswith(b"\n") else line
        if not line:
            raise ConfigurationError(
                f"the password file {self.path} is empty, or its first line is"
            )
        return line

    def _look_at(self, mode: int) -> None:
        if stat.S_ISREG(mode) and mode & _READABLE and not self._warned:
            self._warned = True
            logger.warning(
                "others than its owner may read the password file %s (mode %04o): chmod 600",
                self.path,
                stat.S_IMODE(mode),
                extra={"event": "risk"},
            )


class PasswordVariable:
    """A password in an environment variable, read at every bind.

    Attributes:
        name: the variable's name.
    """

    def __init__(self, name: str) -> None:
        """Initialize from the variable's name."""
        self.name = name

    def __repr__(self) -> str:
        return f"PasswordVariable(name={self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PasswordVariable) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __call__(self) -> bytes:
        """Return the password in the variable.

        Raises:
            ConfigurationError: it is not set, or empty.
        """
        value = os.environ.get(self.name)
        if not value:
            state = "not set" if value is None else "empty"
            raise ConfigurationError(
                f"the environment variable {self.name}, which is to hold the password, is {state}"
            )
        return os.fsencode(value)


class _Identity(NamedTuple):
    bindname: Optional[str] = None
    mechanism: Optional[str] = None
    sasl_user: Optional[str] = None
    authzid: Optional[str] = None


class Credentials(_Identity):
    """The credentials for a bind.  The password is neither in the repr nor compared.

    Attributes:
        bindname: the DN of a simple bind; None for an anonymous bind, or with a mechanism.
        mechanism: the SASL mechanism, in upper case; None for a simple or anonymous bind.
        sasl_user: the user name (authentication identity) for SCRAM.
        authzid: the authorization identity (RFC 4513, 5.2.1.8) for SASL; None: that of the user.
    """

    _given: Optional[Password] = None

    @classmethod
    def choose(
        cls,
        url: SearchUrl,
        password: Optional[Password] = None,
        sasl_user: Optional[str] = None,
        authzid: Optional[str] = None,
    ) -> "Credentials":
        """Return the credentials in *url* and the arguments; the URL's password comes first.

        Raises:
            LDAPUrlError: there is a bind DN, but no password; a server would treat that as an
                anonymous bind (RFC 4513, 5.1.2).
            ConfigurationError: an argument is not valid, or not valid with this bindname.
        """
        _check_password(password)
        mechanism = url.mechanism
        _check_sasl(mechanism, sasl_user, authzid)
        chosen = cls(None if mechanism else url.bindname, mechanism, sasl_user, authzid)
        chosen._given = source = url.password or password or None
        if source is not None and not url.bindname:
            raise ConfigurationError(
                "a password without a name: say whom to bind as by bindname= in ldap_url's "
                "extensions, or leave the password out for an anonymous bind"
            )
        if source is None and chosen.uses_password:
            raise LDAPUrlError(
                f"bindname {url.bindname!r} without a password: give one in X-BINDPW or "
                "password=, or one of EXTERNAL, GSSAPI as bindname"
            )
        if chosen.uses_password and not callable(source):
            chosen.password()  # what can't be used is refused at once
        return chosen

    @property
    def uses_password(self) -> bool:
        """Whether the bind needs a password."""
        return self.sasl_user is not None if self.mechanism else bool(self.bindname)

    @property
    def shows_password(self) -> bool:
        """Whether the bind sends the password itself to the server (SCRAM does not)."""
        return self.uses_password and self.mechanism is None

    def password(self) -> bytes:
        """Return the password, read from its source; empty if none is used.

        Raises:
            ConfigurationError: it is empty, or not a password.
            Exception: any exception of the source.
        """
        if not self.uses_password:
            return b""
        value = self._given() if callable(self._given) else self._given
        octets = _octets(value)
        if octets is None:
            raise ConfigurationError(
                "the password is not a str of Unicode characters, nor bytes: it is a "
                f"{type(value).__name__}, or has lone surrogates in it"
            )
        if not octets:
            raise ConfigurationError(
                f"the password for {self.bindname or self.sasl_user!r} is empty: a server would "
                "take that for an anonymous bind (RFC 4513, 5.1.2)"
            )
        return octets


def _octets(value: object) -> Optional[bytes]:
    # The error that encode() raises holds the password: nothing may be chained to it.
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            return None
    return value if isinstance(value, bytes) else None


# Arguments of callers may be anything, whatever the annotations say.


def _check_password(password: object) -> None:
    if password is not None and not isinstance(password, (str, bytes)) and not callable(password):
        raise ConfigurationError(
            "password is a str, a PasswordFile, a PasswordVariable or a function without "
            f"arguments that returns one, not {type(password).__name__}"
        )


def _check_path(path: object) -> None:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ConfigurationError(
            f"PasswordFile takes the path of a file, not {type(path).__name__} {path!r}"
        )


def _check_sasl(mechanism: Optional[str], user: object, authzid: object) -> None:
    for name, value in (("sasl_user", user), ("authzid", authzid)):
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            raise ConfigurationError(f"{name} is a str that is not empty, not {value!r}")
    takes_user = bool(mechanism and mechanism.startswith("SCRAM-"))
    if takes_user and user is None:
        raise ConfigurationError(
            f"bindname {mechanism} wants a user name: give it by sasl_user=, as the server's "
            "SASL knows it (no DN)"
        )
    if user is not None and not takes_user:
        raise ConfigurationError("sasl_user is for a bindname SCRAM-SHA-1 or SCRAM-SHA-256")
    if authzid is not None and mechanism is None:
        raise ConfigurationError(
            f"authzid is for a SASL mechanism as bindname: {', '.join(SASL_MECHANISMS)}"
        )
