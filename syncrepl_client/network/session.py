# SPDX-License-Identifier: BSD-3-Clause
"""A session with a server: the only module that accesses the network.

(:mod:`.handshake` does so before libldap connects to an ``ldaps:`` server.)

After the bind it never waits inside libldap: a signal that arrives there breaks the connection, and
a stop would not be noticed.  The socket is non-blocking; Python waits for its descriptor and for a
wake-up descriptor, and libldap is asked with timeout 0 for what has arrived.
"""

import contextlib
import logging
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

from ..exceptions import ConfigurationError, Stopped
from ..protocol import wire
from ..url import SearchUrl
from ..waiting import forking
from ..waiting.coroutines import wait_or_wake
from ..waiting.waker import Waker, is_readable, wait_for
from . import diagnosis, passwordpolicy, transport
from .consumer import SyncreplConsumer
from .credentials import Credentials
from .results import raw_result

logger = logging.getLogger(__name__)


class LDAPObject(SyncreplConsumer, ldap.ldapobject.SimpleLDAPObject):
    """python-ldap's connection, with content synchronization searches.

    Attributes:
        takes_any_name: whether the server is of a dialect that does; set once that is known.
    """

    takes_any_name = False


class Session:
    """An LDAP connection; :meth:`bind` must be called first.

    Attributes:
        ldap: the python-ldap ``LDAPObject``.
        url: the search, at ``url.server``.
        password_warning: the password policy's warning about this user; None for none.
    """

    def __init__(
        self, url: SearchUrl, waker: Waker, *, starttls: bool, options: Mapping[int, Any]
    ) -> None:
        """Initialize the connection, and start TLS; without StartTLS, :meth:`bind` connects.

        Args:
            url: the search, at ``url.server``.
            waker: wakes what waits for the connection.
            starttls: start TLS, or fail; not sent to an ``ldaps:`` server.
            options: for ``set_option``, over the defaults of :mod:`.transport`.

        Raises:
            ConfigurationError: an option can't be set.
            ldap.LDAPError: the server can't be reached, is not trusted, or refuses TLS.
        """
        self.url = url
        self._waker = waker
        self._starttls = starttls
        self._options = options
        self.password_warning: Optional[str] = None
        self._established: Optional[int] = None
        self.ldap = LDAPObject(url.server)
        forking.register(self)
        with self._opening("StartTLS"):
            self._set_options(options)
            if transport.is_tls(url.server):
                from . import handshake

                if handshake.is_needed():
                    handshake.check(url.server, self.ldap.get_option(ldap.OPT_NETWORK_TIMEOUT))
            elif starttls:
                self._start_tls()

    @contextlib.contextmanager
    def _opening(self, what: str) -> Iterator[None]:
        """Close the connection if *what* fails, and explain the error."""
        try:
            yield
        except ldap.TIMEOUT as error:
            self.close()
            if transport.is_explained(error):
                raise
            raise self.timed_out(what) from None
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR) as error:
            self.close()
            why = diagnosis.find_out(
                self.url.server, starttls=self._starttls, options=self._options
            )
            if why is not None:
                wire.details_of(error)["info"] = why
            elif self._starttls or transport.is_tls(self.url.server):
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
                diagnosis.unreadable_file(options)
                or f"the TLS options can't be set ({error}): are OPT_X_TLS_CACERTFILE's file, "
                "OPT_X_TLS_CERTFILE's and OPT_X_TLS_KEYFILE's there, in PEM form, and is "
                "OPT_X_TLS_CIPHER_SUITE one of this TLS library?"
            ) from error

    def _start_tls(self) -> None:
        self.ldap.start_tls_s()
        if not self.ldap.get_option(ldap.OPT_X_TLS_VERSION):
            # Nothing is sent without TLS, whatever the answer was.
            raise ldap.CONNECT_ERROR(
                {"desc": "Connect error", "info": "StartTLS succeeded, and there is no TLS"}
            )
        self._established = self._descriptor()

    def bind(self, credentials: Credentials, password: bytes) -> None:
        """Bind, also anonymously, so that the connection is established afterwards.

        Args:
            credentials: the credentials.
            password: what ``credentials.password()`` returned.

        Raises:
            ldap.LDAPError: the server can't be reached, is not trusted, or refuses; the connection
                is closed.
        """
        with self._opening("the bind"):
            if credentials.mechanism is None:
                self._bind_simply(credentials.bindname or "", password)
            else:
                self._bind_by_sasl(credentials, credentials.mechanism, password)
            self._limit_unacknowledged()
            self._established = self._descriptor()
            os.set_blocking(self._established, False)

    def _bind_simply(self, name: str, password: bytes) -> None:
        controls = [passwordpolicy.REQUEST] if password else []
        try:
            message = self.ldap.simple_bind(name, password, controls)
            # The C module's own result4, which hands over the response controls as they come.
            got: tuple[Any, ...] = self.ldap._ldap_call(
                self.ldap._l.result4, message, 1, self.ldap.timeout, 1, 0
            )
        except ldap.LDAPError as error:
            passwordpolicy.explain(error, name)
            raise
        refused, warning = passwordpolicy.read(got[3], name)
        if refused is not None:
            raise passwordpolicy.refusal(refused)
        if warning is not None:
            self.password_warning = warning
            logger.warning("%s: %s", self.url.server, warning, extra={"event": "password-expires"})

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
        """Check that the server answers: python-ldap holds the GIL during a SASL bind."""
        try:
            self.read("", "(objectClass=*)", ["1.1"])
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is an answer
            logger.debug(
                "%s before the bind: %s", self.url.server, error, extra={"event": "refusal"}
            )

    def _limit_unacknowledged(self) -> None:
        """Set TCP_USER_TIMEOUT where libldap has no option for it, and the system has."""
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

    # --- questions

    def read(
        self, base: str, filter: str, names: Sequence[str], scope: int = ldap.SCOPE_BASE
    ) -> dict[str, list[bytes]]:
        """Return attributes of one entry, names in lower case; none if it does not match.

        Args:
            base: the entry's DN, or for a wider *scope* a DN above it.
            filter: the filter that it must match, and no other entry.
            names: of the attributes.
            scope: where to look for it.

        Raises:
            ldap.REFERRAL: another server has the entry at *base*; its ``info`` tells where.
            ProtocolError: the answer is malformed, or has more than one entry.
            ldap.LDAPError: the connection is lost, there was no whole answer in time, or it was
                an error.
        """
        found = self.find(base, filter, names, scope)
        return {} if found is None else {name.lower(): each for name, each in found.attrs.items()}

    def find(
        self, base: str, filter: str, names: Sequence[str], scope: int = ldap.SCOPE_BASE
    ) -> Optional[wire.SearchEntry]:
        """Return one entry as the server writes it; None if it does not match.  As :meth:`read`."""
        message = self.send(base, scope, filter, names)
        found: Optional[wire.SearchEntry] = None
        referral: Optional[ldap.REFERRAL] = None
        for raw in self.answers(message, f"the reading of {base!r}"):
            if raw.type == ldap.RES_SEARCH_ENTRY:
                found = wire.only_entry(raw, found)
            elif raw.type == ldap.RES_SEARCH_REFERENCE and scope == ldap.SCOPE_BASE:
                referral = transport.referral(raw.data[0][1])  # 389-ds, and then success
        if referral is not None:
            raise referral
        return found

    def entries(
        self,
        base: str,
        filter: str,
        names: Sequence[str],
        what: str,
        *,
        scope: int = ldap.SCOPE_SUBTREE,
        sizelimit: int = 0,
        timelimit: int = -1,
        patient: bool = False,
    ) -> Iterator[wire.SearchEntry]:
        """Yield the entries of a search, without references; as :meth:`answers`.

        Args:
            base: the DN.
            filter: the filter.
            names: of the attributes.
            what: what the search is called, for errors.
            scope: the scope.
            sizelimit: how many entries the server may return; 0: unlimited.
            timelimit: how many seconds it may take; -1: unlimited.
            patient: as :meth:`answers`.
        """
        message = self.send(base, scope, filter, names, sizelimit=sizelimit, timelimit=timelimit)
        for raw in self.answers(message, what, patient=patient):
            if raw.type == ldap.RES_SEARCH_ENTRY:
                yield wire.search_entry(raw)

    def answers(
        self, message: int, what: str, *, patient: bool = False
    ) -> Iterator[wire.RawResult]:
        """Yield what answers a search; its result is the last.

        Args:
            message: the message ID.
            what: what the search is called, for errors.
            patient: whether the time limit is for each answer, not for all of them.

        Raises:
            ldap.LDAPError: the connection is lost, there was no whole answer in time, or it was an
                error.
        """
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while time.monotonic() < deadline:
            raw = self.next(message)
            if raw is None:
                self.listen(deadline)
                continue
            yield raw
            if raw.type == ldap.RES_SEARCH_RESULT:
                return
            if patient:
                deadline = time.monotonic() + transport.ANSWER_SECONDS
        raise self.timed_out(what)

    def ask(self, operation: str, what: str) -> bytes:
        """Send an extended operation without a value, and return the value of the response.

        Args:
            operation: its object identifier.
            what: its name, for errors.

        Raises:
            ldap.LDAPError: the connection is lost, there was no answer in time, or it was an error.
        """
        message = self.extended(operation)
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while time.monotonic() < deadline:
            # Of an extended response the C module tells name and value if asked to, last.
            got: tuple[Any, ...] = self.ldap._ldap_call(
                self.ldap._l.result4, message, 0, 0, 1, 1, 1
            )
            if got[0] is not None:
                return got[-1] or b""
            self.listen(deadline)
        raise self.timed_out(what)

    def timed_out(self, what: str) -> ldap.TIMEOUT:
        """Return the exception for a server that did not answer *what* in time."""
        server = self.url.server
        return ldap.TIMEOUT({"desc": "Timed out", "info": f"{server} did not answer {what}"})

    # --- messages

    def send(
        self,
        base: str,
        scope: int,
        filter: str,
        names: Sequence[str],
        controls: Sequence[RequestControl] = (),
        *,
        sizelimit: int = 0,
        timelimit: int = -1,
    ) -> int:
        """Send a search, for all user attributes if *names* is empty; return its message ID."""
        message: int = self.ldap.search_ext(
            base,
            scope,
            filter,
            list(names) or None,
            serverctrls=list(controls),
            timeout=timelimit,
            sizelimit=sizelimit,
        )
        return message

    def extended(self, operation: str, value: Optional[bytes] = None) -> int:
        """Send an extended operation; return its message ID."""
        message: int = self.ldap.extop(ExtendedRequest(operation, value))
        return message

    def next(self, message: int) -> Optional[wire.RawResult]:
        """Return the next answer to a message ID if it has arrived, without waiting.

        Raises:
            ProtocolError, MemoryError, ldap.LDAPError: see :func:`.raw_result`.
        """
        return raw_result(self.ldap, message)

    def listen(self, deadline: float) -> None:
        """Wait until something may have arrived, or *deadline* has come; ignores the waker."""
        wait_for(deadline, self._descriptor())

    def is_readable(self) -> bool:
        """Return whether something may have arrived since libldap was asked, and had nothing more.

        What libldap has read meanwhile, for a program that uses the connection, does not count.
        """
        return self._established is None or is_readable(self._established)

    async def listen_or_wake(self, deadline: Optional[float]) -> None:
        """Wait until something may have arrived, the waker is woken, or *deadline* has come."""
        await wait_or_wake(self._waker, deadline, self._descriptor())

    def raise_if_stopped(self) -> None:
        """Raise an exception if a stop was asked for.

        Raises:
            Stopped: it was.
        """
        if self._waker.stopping:
            raise Stopped("please_stop() was called before the answer was complete")

    def disown(self) -> None:
        """Leave the server to the parent process: the child sends nothing, nor an UnbindRequest."""
        established, self._established = self._established, None
        if established is not None:
            forking.never_free(self.ldap._l)
            forking.redirect(established)

    def close(self) -> None:
        """Unbind, and discard whatever has not been received."""
        self._established = None
        try:
            self.ldap.unbind_ext_s()
        except ldap.LDAPError as error:
            logger.debug("unbind: %s", error, extra={"event": "refusal"})
