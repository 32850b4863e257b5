# SPDX-License-Identifier: BSD-3-Clause
"""A session with a server: the only module that talks to the network, and that waits for it.

(:mod:`.handshake` does so for it, once, before libldap goes to an ``ldaps:`` server.)

It never waits inside libldap once it is bound: a signal that arrives there kills the
connection, and a stop would go unheard.  The socket is non-blocking, Python waits on its
descriptor and on a wake-up socket, and libldap is asked for what has arrived, with timeout 0.
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

from .. import wire
from ..driving import wait_or_wake
from ..exceptions import ConfigurationError, Stopped
from ..url import SearchUrl
from ..waiting import Waker, wait_for
from . import handshake, transport
from .credentials import Credentials

logger = logging.getLogger(__name__)


class Session:
    """An LDAP connection that is opened, bound, asked and closed; :meth:`bind` comes first.

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
            raise self.timed_out(what) from None
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
            self.read("", "(objectClass=*)", ["1.1"])
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT):
            raise
        except ldap.LDAPError as error:  # a refusal is an answer
            logger.debug(
                "%s before the bind: %s", self.url.server, error, extra={"event": "refusal"}
            )

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

    # --- questions

    def read(self, base: str, filter: str, names: Sequence[str]) -> dict[str, list[bytes]]:
        """Return attributes of one entry, names in lower case; none where it doesn't match.

        Args:
            base: the entry's DN.
            filter: what it must match.
            names: of the attributes.

        Raises:
            ldap.LDAPError: the connection is lost, there was no answer in time, or it was an
                error.
        """
        message = self.send(base, ldap.SCOPE_BASE, filter, names)
        entries: dict[str, list[bytes]] = {}
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while True:
            raw = self.next(message)
            if raw is None:
                self._wait_for_answer(deadline, f"the reading of {base!r}")
            elif raw.type == ldap.RES_SEARCH_ENTRY:
                entries.update((name.lower(), values) for name, values in raw.data[0][1].items())
            elif raw.type == ldap.RES_SEARCH_RESULT:
                return entries

    def ask(self, operation: str, what: str) -> bytes:
        """Return the value that answers an extended operation without a value.

        Args:
            operation: its object identifier.
            what: it is called.

        Raises:
            ldap.LDAPError: the connection is lost, there was no answer in time, or it was an
                error.
        """
        message = self.extended(operation)
        deadline = time.monotonic() + transport.ANSWER_SECONDS
        while True:
            # Of an extended response the C module tells name and value if asked to, last.
            got: tuple[Any, ...] = self.ldap._ldap_call(
                self.ldap._l.result4, message, 0, 0, 1, 1, 1
            )
            if got[0] is not None:
                return got[-1] or b""
            self._wait_for_answer(deadline, what)

    def _wait_for_answer(self, deadline: float, what: str) -> None:
        if time.monotonic() >= deadline:
            raise self.timed_out(what)
        self.listen(deadline)

    def timed_out(self, what: str) -> ldap.TIMEOUT:
        """Return the error that the server did not answer *what*."""
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
    ) -> int:
        """Send a search, for all user attributes if *names* is empty; return its message ID."""
        message: int = self.ldap.search_ext(
            base, scope, filter, list(names) or None, serverctrls=list(controls)
        )
        return message

    def extended(self, operation: str, value: Optional[bytes] = None) -> int:
        """Send an extended operation; return its message ID."""
        message: int = self.ldap.extop(ExtendedRequest(operation, value))
        return message

    def next(self, message: int) -> Optional[wire.RawResult]:
        """Return the next answer to that message if it has arrived, without waiting."""
        # The C module's own result4: the wrapper fails where nothing has arrived, and decodes
        # each control with pyasn1.  It wants the lock that all calls of one LDAPObject share.
        lock = self.ldap._ldap_object_lock
        lock.acquire()
        try:
            got = self.ldap._l.result4(message, 0, 0, 1, 1)
        except ldap.LDAPError as error:
            transport.add_strerror(error)
            raise
        finally:
            lock.release()
        if got is None or got[0] is None:
            return None
        return wire.RawResult(got[0], got[1], got[3])

    def listen(self, deadline: float) -> None:
        """Wait until something may have arrived, or *deadline*; wake-ups are for others."""
        wait_for(deadline, self._descriptor())

    async def listen_or_wake(self, deadline: Optional[float]) -> None:
        """Wait until something may have arrived, somebody calls the waker, or *deadline*."""
        await wait_or_wake(self._waker, deadline, self._descriptor())

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
            logger.debug("unbind: %s", error, extra={"event": "refusal"})
