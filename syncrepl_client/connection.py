# SPDX-License-Identifier: BSD-3-Clause
"""The connection to the server: the only module that talks to the network, and that waits.

It never waits inside libldap: a signal that arrives there kills the connection, and a stop
would go unheard.  The socket is non-blocking, Python waits on its descriptor and on a
wake-up socket, and libldap is asked for what has arrived, with timeout 0.
"""

import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

import ldap
import ldap.ldapobject
import ldap.sasl
from ldap.controls import RequestControl
from ldap.extop import ExtendedRequest

from . import transport, wire
from .credentials import Credentials
from .exceptions import ConfigurationError, ProtocolError, SyncUnsupported
from .messages import Message
from .modes import SyncreplMode
from .url import SearchUrl

logger = logging.getLogger(__name__)

_ROOT_DSE = (
    "objectClass", "vendorName", "vendorVersion", "namingContexts", "subschemaSubentry",
    "supportedControl", "supportedExtension",
)  # fmt: skip


class Waker:
    """Ends a wait from another thread, or from a signal handler."""

    def __init__(self) -> None:
        """Make the pair of sockets."""
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups: it is awake
            self._sender.send(b"\0")

    def close(self) -> None:
        """Close the sockets."""
        self.receiver.close()
        self._sender.close()


def open_first(
    url: SearchUrl,
    waker: Waker,
    *,
    credentials: Credentials,
    starttls: bool,
    options: Mapping[int, Any],
    start: int = 0,
) -> "Connection":
    """Return a bound connection to the first of the URL's servers that lets us in.

    Each is tried once, in their order, from number *start* on (modulo their number).  Wrong
    credentials too are no reason to end: a new password may not have reached one replica yet.

    Raises:
        ConfigurationError: an option can't be set, or there is no password; no other server
            is tried.
        Exception: what the password's source raised, unchanged; likewise.
        ldap.LDAPError: no server lets us in.  Of several it is INVALID_CREDENTIALS if one said
            that, then what another said that could be reached, then the last; its ``info``
            tells what each said.
    """
    failures: list[tuple[str, ldap.LDAPError]] = []
    for number in range(len(url.servers)):
        server = url.servers[(start + number) % len(url.servers)]
        try:
            connection = Connection(url.at(server), waker, starttls=starttls, options=options)
        except ldap.LDAPError as error:
            failures.append((server, error))
            continue
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            password = credentials.password()  # what this raises is not the server's doing
            undo.pop_all()
        try:
            connection.bind(credentials, password)
        except ldap.LDAPError as error:
            failures.append((server, error))
        else:
            return connection
    raise transport.most_telling(failures)


class Connection:
    """A connection on which one search at a time goes on; :meth:`bind` comes first.

    Attributes:
        ldap: the python-ldap ``LDAPObject``.
        url: where it leads.
    """

    def __init__(
        self, url: SearchUrl, waker: Waker, *, starttls: bool, options: Mapping[int, Any]
    ) -> None:
        """Prepare the connection, and start TLS; without StartTLS, bind() connects.

        Args:
            url: where to, at ``url.server``.
            waker: what ends a wait.
            starttls: start TLS, or fail; not sent where the server is an ``ldaps:`` one.
            options: for ``set_option``, over the defaults of :mod:`.transport`.

        Raises:
            ConfigurationError: an option can't be set.
            ldap.LDAPError: the server can't be reached, is not to be trusted, or refuses TLS.
        """
        self.url = url
        self._waker = waker
        self._search: Optional[int] = None
        self._encrypted = starttls or transport.is_tls(url.server)
        self.ldap = ldap.initialize(url.server)
        with self._opening("StartTLS"):
            self._set_options(options)
            if starttls and not transport.is_tls(url.server):
                self._start_tls()

    @contextlib.contextmanager
    def _opening(self, what: str) -> Iterator[None]:
        """Close the connection if *what* fails, and explain why."""
        try:
            yield
        except ldap.TIMEOUT:
            self.close()
            raise self._timed_out(what) from None
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR) as error:
            self.close()
            if self._encrypted:
                transport.hint_at_certificate(error)
            raise
        except BaseException:
            self.close()
            raise

    def _set_options(self, options: Mapping[int, Any]) -> None:
        for option, value in transport.effective_options(options).items():
            try:
                self.ldap.set_option(option, value)
            except (ldap.LDAPError, ValueError, TypeError) as error:
                raise ConfigurationError(
                    f"the LDAP option {option} can't be set: {error}"
                ) from error
        try:
            # TLS options of one connection take effect with a new context only.
            self.ldap.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        except (ldap.LDAPError, ValueError) as error:
            raise ConfigurationError(
                f"the TLS options can't be set ({error}): are the files of OPT_X_TLS_CACERTFILE, "
                "OPT_X_TLS_CERTFILE and OPT_X_TLS_KEYFILE there, in PEM form, and is "
                "OPT_X_TLS_CIPHER_SUITE one of this TLS library?"
            ) from error

    def _start_tls(self) -> None:
        self.ldap.start_tls_s()
        if not self.ldap.get_option(ldap.OPT_X_TLS_VERSION):
            # Nothing is sent without TLS, whatever the answer was.
            raise ldap.CONNECT_ERROR(
                {"desc": "Connect error", "info": "StartTLS succeeded, and there is no TLS"}
            )

    def bind(self, credentials: Credentials, password: bytes) -> None:
        """Bind, also as nobody, so that the connection exists from here on.

        Args:
            credentials: as whom, and how.
            password: what ``credentials.password()`` gave now.

        Raises:
            ldap.LDAPError: the server can't be reached, is not to be trusted, or refuses; the
                connection is closed.
        """
        with self._opening("the bind"):
            if credentials.mechanism is None:
                self.ldap.simple_bind_s(credentials.bindname or "", password)
            else:
                self._bind_by_sasl(credentials, credentials.mechanism, password)
            self._limit_unacknowledged()
            os.set_blocking(self._descriptor(), False)

    def _bind_by_sasl(self, credentials: Credentials, mechanism: str, password: bytes) -> None:
        answers: dict[int, Union[str, bytes]] = {ldap.sasl.CB_USER: credentials.authzid or ""}
        if credentials.sasl_user is not None:
            answers[ldap.sasl.CB_AUTHNAME] = credentials.sasl_user
            answers[ldap.sasl.CB_PASS] = password
        try:
            self.ldap.sasl_interactive_bind_s("", ldap.sasl.sasl(answers, mechanism))
        except (
            ldap.AUTH_UNKNOWN,
            ldap.AUTH_METHOD_NOT_SUPPORTED,
            ldap.STRONG_AUTH_NOT_SUPPORTED,  # another name for result 7: python-ldap raises it
        ) as error:
            transport.hint_at_mechanism(error, mechanism, self.url.server)
            raise

    def _limit_unacknowledged(self) -> None:
        """Set TCP_USER_TIMEOUT where libldap has no option for it, and the system does."""
        if transport.TCP_USER_TIMEOUT is not None or not hasattr(socket, "TCP_USER_TIMEOUT"):
            return
        with socket.socket(fileno=os.dup(self._descriptor())) as copy:
            if copy.family != socket.AF_UNIX:
                copy.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, transport.UNACKNOWLEDGED_MS
                )

    def _descriptor(self) -> int:
        descriptor: int = self.ldap.get_option(ldap.OPT_DESC)
        return descriptor

    # --- what the server is

    def read_root_dse(self) -> dict[str, list[bytes]]:
        """Return the root DSE, attribute names in lower case; empty if it may not be read."""
        try:
            return self._read("", "(objectClass=*)", list(_ROOT_DSE))
        except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS) as error:
            logger.info("the root DSE of %s can't be read: %s", self.url.server, error)
            return {}

    def read_operational_names(self, root_dse: Mapping[str, list[bytes]]) -> "frozenset[str]":
        """Return the names, in lower case, of the attributes that the schema calls operational."""
        subentry = root_dse.get("subschemasubentry", [b"cn=schema"])[0].decode()
        schema = self._read(subentry, "(objectClass=subschema)", ["attributeTypes"])
        return wire.operational_names(schema.get("attributetypes", []))

    def _read(self, base: str, filter: str, names: list[str]) -> dict[str, list[bytes]]:
        message = self.ldap.search_ext(base, ldap.SCOPE_BASE, filter, names)
        entries: dict[str, list[bytes]] = {}
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while True:
            raw = self._next(message)
            if raw is None:
                if time.monotonic() >= deadline:
                    raise self._timed_out(f"the reading of {base!r}")
                self._wait(deadline, heed_waker=False)
            elif raw.type == ldap.RES_SEARCH_ENTRY:
                entries.update((name.lower(), values) for name, values in raw.data[0][1].items())
            elif raw.type == ldap.RES_SEARCH_RESULT:
                return entries

    def _timed_out(self, what: str) -> ldap.TIMEOUT:
        server = self.url.server
        return ldap.TIMEOUT({"desc": "Timed out", "info": f"{server} did not answer {what}"})

    # --- the search

    def search(self, mode: SyncreplMode, cookie: Optional[bytes]) -> None:
        """Send the content synchronization search.

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        url = self.url
        control = RequestControl(wire.SYNC_REQUEST, True, wire.sync_request(mode, cookie))
        try:
            self._search = self.ldap.search_ext(
                url.base, url.scope, url.filter, list(url.attributes) or None, serverctrls=[control]
            )
        except ldap.FILTER_ERROR:
            raise ConfigurationError(
                f"{url.filter!r} is not a search filter (RFC 4515); look for an unbalanced "
                "parenthesis, or a special character in a value that wants escaping"
            ) from None

    def receive(self) -> Optional[Message]:
        """Return the next message of the search if it has arrived, without waiting.

        Raises:
            ProtocolError: it is malformed.
            SyncUnsupported: the server has no content synchronization there.
            ldap.LDAPError: the connection is lost, or the search ended with an error.
        """
        while True:
            try:
                raw = self._next(self._search)
            except ldap.LDAPError as error:
                message = wire.decode_error(error)
                if message is None:
                    raise self._explained(error) from error
                self._search = None
                return message
            except (UnicodeDecodeError, MemoryError) as error:
                raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
            if raw is None:
                return None
            if raw.type == ldap.RES_SEARCH_RESULT:
                self._search = None
            decoded = wire.decode(raw)
            if decoded is not None:
                return decoded

    def _next(self, message: Optional[int]) -> Optional[wire.RawResult]:
        # The C module's own result4: the wrapper fails where nothing has arrived, and decodes
        # each control with pyasn1.
        got: tuple[Any, ...] = self.ldap._ldap_call(self.ldap._l.result4, message, 0, 0, 1, 1)
        return None if got[0] is None else wire.RawResult(got[0], got[1], got[3])

    def _explained(self, error: ldap.LDAPError) -> Exception:
        if isinstance(error, ldap.UNAVAILABLE_CRITICAL_EXTENSION):
            url = self.url
            return SyncUnsupported(
                f"the server at {url.server} has no content synchronization on {url.base!r}: on "
                "OpenLDAP, add 'overlay syncprov' to that database; on 389-ds, enable the plug-ins "
                "'Retro Changelog' and 'Content Synchronization'; and let this user use the control"
            )
        if isinstance(error, ldap.DECODING_ERROR):
            return ProtocolError(f"the server sent something that is not LDAP: {error}")
        return error

    def wait(self, deadline: Optional[float]) -> None:
        """Wait until something may have arrived, somebody calls the waker, or *deadline*.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.
        """
        self._wait(deadline, heed_waker=True)

    def _wait(self, deadline: Optional[float], *, heed_waker: bool) -> None:
        poll = select.poll()
        poll.register(self._descriptor(), select.POLLIN)
        if heed_waker:
            poll.register(self._waker.receiver, select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        poll.poll(left)

    def end_search(self, seconds: float, *, cancel: bool) -> None:
        """End the search, whatever it still has to say is thrown away.

        Args:
            seconds: how long a server that knows Cancel may take to answer it.
            cancel: send a Cancel (RFC 3909), abandon the search if that brings no answer;
                otherwise abandon it at once.
        """
        if self._search is None:
            return
        search, self._search = self._search, None
        if cancel and self._canceled(search, time.monotonic() + seconds):
            return
        self.ldap.abandon(search)

    def _canceled(self, search: int, deadline: float) -> bool:
        request = ExtendedRequest(wire.CANCEL, wire.cancel_request(search))
        answer = self.ldap.extop(request)
        while time.monotonic() < deadline:
            try:
                raw = self._next(search)
            except ldap.CANCELLED:
                break
            except (UnicodeDecodeError, MemoryError, ldap.DECODING_ERROR):
                continue  # nothing of it is used
            if raw is None:
                self._wait(deadline, heed_waker=False)
            elif raw.type == ldap.RES_SEARCH_RESULT:
                break
        else:
            return False
        self.ldap.abandon(answer)  # what it says is known
        return True

    def close(self) -> None:
        """Unbind, and forget whatever was going on."""
        try:
            self.ldap.unbind_ext_s()
        except ldap.LDAPError as error:
            logger.debug("unbind: %s", error)
