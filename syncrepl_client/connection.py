# SPDX-License-Identifier: BSD-3-Clause
"""The connection to the server: the only module that talks to the network, and that waits.

(:mod:`.handshake` does so for it, once, before libldap goes to an ``ldaps:`` server.)

It never waits inside libldap: a signal that arrives there kills the connection, and a stop
would go unheard.  The socket is non-blocking, Python waits on its descriptor and on a
wake-up socket, and libldap is asked for what has arrived, with timeout 0.
"""

import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Union

import ldap
import ldap.ldapobject
import ldap.sasl
from ldap.controls import RequestControl
from ldap.extop import ExtendedRequest

from . import handshake, transport, wire
from .credentials import Credentials
from .dialect import Refusal
from .exceptions import ConfigurationError, ProtocolError, Stopped, SyncUnsupported
from .heartbeat import Heartbeat
from .messages import Message
from .modes import SyncreplMode
from .url import SearchUrl
from .waiting import Waker, wait_for

logger = logging.getLogger(__name__)

_ROOT_DSE = (
    "objectClass", "vendorName", "vendorVersion", "namingContexts", "subschemaSubentry",
    "supportedControl", "supportedExtension", "firstChangeNumber", "lastChangeNumber",
)  # fmt: skip
_SILENCE_SECONDS = 300.0
"""How long an ordinary search may bring nothing: a server may look through a lot before."""
_REFUSALS = (
    ldap.PROTOCOL_ERROR, ldap.UNWILLING_TO_PERFORM, ldap.INSUFFICIENT_ACCESS,
    ldap.INAPPROPRIATE_AUTH, ldap.STRONG_AUTH_REQUIRED, ldap.CONFIDENTIALITY_REQUIRED,
)  # fmt: skip


def open_first(
    url: SearchUrl,
    waker: Waker,
    *,
    credentials: Credentials,
    starttls: bool,
    options: Mapping[int, Any],
    heartbeat: Optional[float] = None,
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
            connection = Connection(
                url.at(server), waker, starttls=starttls, options=options, heartbeat=heartbeat
            )
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
        self,
        url: SearchUrl,
        waker: Waker,
        *,
        starttls: bool,
        options: Mapping[int, Any],
        heartbeat: Optional[float] = None,
    ) -> None:
        """Prepare the connection, and start TLS; without StartTLS, bind() connects.

        Args:
            url: where to, at ``url.server``.
            waker: what ends a wait.
            starttls: start TLS, or fail; not sent where the server is an ``ldaps:`` one.
            options: for ``set_option``, over the defaults of :mod:`.transport`.
            heartbeat: seconds of silence after which the server is asked for a sign of life;
                None for never.

        Raises:
            ConfigurationError: an option can't be set.
            ldap.LDAPError: the server can't be reached, is not to be trusted, or refuses TLS.
        """
        self.url = url
        self._waker = waker
        self._search: Optional[int] = None
        self._question: Optional[int] = None
        self._heartbeat = Heartbeat(heartbeat, time.monotonic())
        self._refusal: Optional[Refusal] = None
        self._encrypted = starttls or transport.is_tls(url.server)
        self.ldap = ldap.initialize(url.server)
        with self._opening("StartTLS"):
            self._set_options(options)
            if transport.is_tls(url.server):
                if handshake.is_needed():
                    handshake.check(url.server, self.ldap.get_option(ldap.OPT_NETWORK_TIMEOUT))
            elif starttls:
                self._start_tls()

    @contextlib.contextmanager
    def _opening(self, what: str) -> Iterator[None]:
        """Close the connection if *what* fails, and explain why."""
        try:
            yield
        except ldap.TIMEOUT as error:
            self.close()
            if transport.is_explained(error):
                raise
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
        self._see_that_it_answers()
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

    def _see_that_it_answers(self) -> None:
        """Have a server that hangs found out here: python-ldap binds with the GIL held."""
        try:
            self._read("", "(objectClass=*)", ["1.1"])
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is an answer
            logger.debug("%s before the bind: %s", self.url.server, error)

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
        return self.read_entry("", _ROOT_DSE)

    def read_entry(self, name: str, attributes: Sequence[str]) -> dict[str, list[bytes]]:
        """Return these *attributes* of an entry, names in lower case; empty if it may not be read.

        Raises:
            ldap.LDAPError: the connection is lost, or there was no answer in time.
        """
        try:
            return self._read(name, "(objectClass=*)", list(attributes))
        except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS) as error:
            logger.info("%r can't be read on %s: %s", name, self.url.server, error)
            return {}

    def who_am_i(self) -> Optional[str]:
        """Return who the server says we are (RFC 4532), "" if nobody; None if it won't say.

        Raises:
            ldap.LDAPError: the connection is lost, or there was no answer in time.
        """
        message = self.ldap.extop(ExtendedRequest(wire.WHO_AM_I, None))
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while True:
            try:
                # Of an extended response the C module tells name and value if asked to, last.
                got: tuple[Any, ...] = self.ldap._ldap_call(
                    self.ldap._l.result4, message, 0, 0, 1, 1, 1
                )
            except _REFUSALS as error:
                logger.info("%s does not say who we are: %s", self.url.server, error)
                return None
            if got[0] is not None:
                return (got[-1] or b"").decode(errors="backslashreplace")
            self._wait_for_answer(deadline, "Who am I?")

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
                self._wait_for_answer(deadline, f"the reading of {base!r}")
            elif raw.type == ldap.RES_SEARCH_ENTRY:
                entries.update((name.lower(), values) for name, values in raw.data[0][1].items())
            elif raw.type == ldap.RES_SEARCH_RESULT:
                return entries

    def _wait_for_answer(self, deadline: float, what: str) -> None:
        if time.monotonic() >= deadline:
            raise self._timed_out(what)
        wait_for(deadline, self._descriptor())

    def _timed_out(self, what: str) -> ldap.TIMEOUT:
        server = self.url.server
        return ldap.TIMEOUT({"desc": "Timed out", "info": f"{server} did not answer {what}"})

    # --- the search

    def search(
        self, mode: SyncreplMode, cookie: Optional[bytes], refusal: Optional[Refusal] = None
    ) -> None:
        """Send the content synchronization search.

        Args:
            mode: whether the server shall go on after the refresh.
            cookie: how far this client got; None to start over.
            refusal: how this kind of server refuses a cookie.

        Raises:
            ConfigurationError: the filter is none.
            ldap.LDAPError: it could not be sent.
        """
        url = self.url
        self._refusal = None if cookie is None else refusal
        control = RequestControl(wire.SYNC_REQUEST, True, wire.sync_request(mode, cookie))
        self._heartbeat.heard(time.monotonic())
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
                raw = self._next_of_search()
            except ldap.LDAPError as error:
                message = wire.decode_error(error, self._refusal)
                if message is None:
                    raise self._explained(error) from error
                self._search = None
                return message
            except (UnicodeDecodeError, MemoryError) as error:
                raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
            if raw is None:
                return None
            self._heartbeat.heard(time.monotonic())
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

        Call :meth:`receive` first: it must have returned None.

        Args:
            deadline: by ``time.monotonic()``; None waits for as long as it takes.

        Raises:
            ldap.SERVER_DOWN: the server has been silent for too long, though it was asked.
        """
        self._beat()
        until = self._heartbeat.next
        until = until if deadline is None else min(deadline, until)
        self._waker.wait(None if math.isinf(until) else until, self._descriptor())

    def _beat(self) -> None:
        """Ask a server that has been silent for a while for its root DSE, give up a dead one."""
        now = time.monotonic()
        if self._heartbeat.is_due(now):
            if self._question is None:
                self._question = self.ldap.search_ext("", ldap.SCOPE_BASE, attrlist=["1.1"])
            self._heartbeat.asked(now)
        elif self._heartbeat.is_overdue(now):
            raise ldap.SERVER_DOWN(
                {
                    "desc": "Can't contact LDAP server",
                    "info": f"{self.url.server} has been silent for too long, also when asked",
                }
            )

    def _next_of_search(self) -> Optional[wire.RawResult]:
        raw = self._next(self._search)
        if raw is None and self._question is not None:
            self._hear_answer(self._question)
            raw = self._next(self._search)  # libldap may have read that on the way
        return raw

    def _hear_answer(self, question: int) -> None:
        """Take the answer to the heartbeat's question, if it has come."""
        try:
            raw = self._next(question)
            while raw is not None and raw.type != ldap.RES_SEARCH_RESULT:
                raw = self._next(question)
            if raw is None:
                return
        except (ldap.SERVER_DOWN, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is a sign of life as well
            logger.debug("heartbeat of %s: %s", self.url.server, error)
        self._question = None
        self._heartbeat.heard(time.monotonic())

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
                wait_for(deadline, self._descriptor())
            elif raw.type == ldap.RES_SEARCH_RESULT:
                break
        else:
            return False
        self.ldap.abandon(answer)  # what it says is known
        return True

    # --- ordinary searches

    def answers(
        self, base: str, scope: int, controls: Sequence[RequestControl] = ()
    ) -> Iterator[wire.RawResult]:
        """Send an ordinary search with the URL's filter and attributes; yield all that answers it.

        Raises:
            ProtocolError: the server sent something that can't be decoded.
            Stopped: a stop was asked for.
            ldap.LDAPError: the connection is lost, or silent for five minutes, or the search
                ended with an error.
        """
        url = self.url
        message = self.ldap.search_ext(
            base, scope, url.filter, list(url.attributes) or None, serverctrls=list(controls)
        )
        ended = False
        while not ended:
            raw = self._next_soon(message, f"the search below {base!r}")
            ended = raw.type == ldap.RES_SEARCH_RESULT
            yield raw

    def _next_soon(self, message: int, what: str) -> wire.RawResult:
        """Wait for the next answer to *message*."""
        deadline = time.monotonic() + _SILENCE_SECONDS
        while True:
            self.heed_stop()
            try:
                raw = self._next(message)
            except (UnicodeDecodeError, MemoryError) as error:
                raise ProtocolError(f"the server sent a name that is not UTF-8: {error}") from error
            except ldap.DECODING_ERROR as error:
                raise self._explained(error) from error
            if raw is not None:
                return raw
            if time.monotonic() >= deadline:
                raise self._timed_out(f"{what} for {_SILENCE_SECONDS:g} s")
            self._waker.wait(deadline, self._descriptor())

    def heed_stop(self) -> None:
        """See that nobody wants a stop.

        Raises:
            Stopped: a stop was asked for.
        """
        if self._waker.stopping:
            raise Stopped("please_stop() was called before the answer was complete")

    def close(self) -> None:
        """Unbind, and forget whatever was going on."""
        try:
            self.ldap.unbind_ext_s()
        except ldap.LDAPError as error:
            logger.debug("unbind: %s", error)
