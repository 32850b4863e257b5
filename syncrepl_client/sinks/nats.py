# SPDX-License-Identifier: BSD-3-Clause
"""NATS JetStream: each change is a message in a stream, which acknowledges it.

It requires the extra ``[nats]`` (nats-py).
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, Optional, TypeVar

from nats import errors
from nats.aio.client import Client
from nats.js.errors import APIError, NoStreamResponseError

from ..exceptions import ConfigurationError
from . import endpoint
from .base import Answer, Message, Sink
from .cloudevents import CONTENT_TYPE
from .endpoint import Secret

T = TypeVar("T")

_FAREWELL = 1.0
"""How many seconds to wait for the end of a connection."""
_LOST = "the connection was lost"
_SILENT = "no answer in time"
_TOO_LARGE = 10054
"""The error of a stream with a maximum message size (JSStreamMessageExceedsMaximumErr)."""


class JetStream(Sink):
    """Publishes each change to a subject, and waits for the stream's acknowledgement.

    The id is in ``Nats-Msg-Id``: within its duplicate window, the stream has each message once.  A
    message that is larger than the server or the stream allows is refused.  All else is sent again.
    """

    def __init__(
        self,
        url: str,
        *,
        subject: str,
        stream: str = "",
        password: Optional[Secret] = None,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
    ) -> None:
        """Initialize; nothing is sent.

        Args:
            url: ``tls://[USER@]HOST[:PORT]``; ``nats://`` is without TLS.  Several servers of a
                cluster have commas between them: the first that answers is used.
            subject: the subject, in which ``{kind}`` and ``{key}`` are replaced by the kind of the
                change and the entryUUID.
            stream: the name that the stream has to have; empty for any.
            password: where the password of the user is, or, without one, the token; it is read for
                each connection.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that the system trusts.
            timeout: how many seconds to wait for a connection, and for the acknowledgements.

        Raises:
            ConfigurationError: an argument is not valid, or the password can't be read.
        """
        self._endpoint = endpoint.parse(url, ("nats", "tls"), 4222)
        if self._endpoint.path:
            raise ConfigurationError("the URL of a NATS server has no path")
        endpoint.check_text("subject", subject)
        if set(subject) & set(" *>") or not all(subject.split(".")):
            raise ConfigurationError(f"subject is words with dots between them, not {subject!r}")
        if stream:
            endpoint.check_text("stream", stream)
        endpoint.check_secret("password", password, optional=True)
        if self._endpoint.user is not None and password is None:
            raise ConfigurationError("a user name in the URL requires password=")
        endpoint.check_seconds("timeout", timeout)
        self._tls = endpoint.tls_context(cacert)
        self._subject, self._stream = subject, stream
        self._password = password
        self._timeout = timeout
        self._client: Optional[_Client] = None
        self._resources = ExitStack()

    def __repr__(self) -> str:
        return f"<JetStream {self._subject!r} at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "nats" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)
        self._loop = self._resources.enter_context(_Loop())
        self._resources.callback(lambda: self._loop.run(self._disconnect()))

    def close(self) -> None:
        self._resources.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        return self._loop.run(self._deliver(messages)) if messages else []

    async def _deliver(self, messages: Sequence[Message]) -> list[Answer]:
        try:
            client = await self._connected()
        except (OSError, errors.Error, asyncio.TimeoutError, ConfigurationError) as error:
            return [Answer.failed(_reason(error))] * len(messages)
        tasks = [asyncio.ensure_future(self._publish(client, each)) for each in messages]
        gone = asyncio.ensure_future(client.gone.wait())
        all_done = asyncio.ensure_future(asyncio.wait(tasks))
        # Sending may block as well, if the server does not read: so it is not enough that waiting
        # for each acknowledgement has a timeout.
        both = {gone, all_done}
        await asyncio.wait(both, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        lost = Answer.failed(client.reason or (_LOST if client.gone.is_set() else _SILENT))
        for task in (*tasks, *both):
            task.cancel()
        await asyncio.wait({*tasks, *both}, timeout=_FAREWELL)
        answers = [
            task.result() if task.done() and not task.cancelled() else lost for task in tasks
        ]
        if any(answer.outcome is lost.outcome for answer in answers):
            await self._disconnect()
        return answers

    async def _publish(self, client: "_Client", message: Message) -> Answer:
        subject = endpoint.address(self._subject, message)
        headers = {"Nats-Msg-Id": message.id, "content-type": CONTENT_TYPE}
        size = len(message.body) + sum(len(f"{each}: {headers[each]}\r\n") for each in headers)
        size += len("NATS/1.0\r\nNats-Expected-Stream: \r\n\r\n" + self._stream)
        if size > client.max_payload:
            return Answer.refused(f"{size} octets are more than the server takes")
        try:
            await client.jetstream().publish(
                subject,
                message.body,
                timeout=self._timeout,
                stream=self._stream or None,
                headers=dict(headers),
            )
        except NoStreamResponseError:
            return Answer.failed(f"no stream has the subject {subject!r}")
        except APIError as error:
            reason = f"{error.description} ({error.err_code})"
            is_refused = error.err_code == _TOO_LARGE
            return Answer.refused(reason) if is_refused else Answer.failed(reason)
        except (OSError, errors.Error, asyncio.TimeoutError) as error:
            return Answer.failed(_reason(error))
        return Answer.accepted()

    async def _connected(self) -> "_Client":
        if self._client is not None and not self._client.is_connected:
            await self._disconnect()
        if self._client is None:
            self._client = await self._connect()
        return self._client

    async def _connect(self) -> "_Client":
        secret = None if self._password is None else endpoint.text_of(self._password)
        user = self._endpoint.user
        client = _Client(self._endpoint.scheme == "tls")
        connecting = client.connect(
            [str(self._endpoint._replace(servers=(each,))) for each in self._endpoint.servers],
            name="syncrepl_client",
            dont_randomize=True,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # else it tries for ever, with allow_reconnect=False, too
            reconnect_time_wait=0,
            connect_timeout=self._timeout,  # type: ignore[arg-type] # a float is fine
            error_cb=client.on_error,
            closed_cb=client.on_closed,
            tls=self._tls if self._endpoint.scheme == "tls" else None,
            user=user,
            password=secret if user is not None else None,
            token=secret if user is None else None,
        )
        try:
            await _within(self._timeout, connecting)
        except errors.NoServersError as error:
            raise errors.Error(client.reason or _reason(error)) from error
        finally:
            if not client.is_connected:
                await client.end()
        return client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.end()


class _NoTLS(errors.Error):
    def __str__(self) -> str:
        return "the server does not offer TLS"


class _Client(Client):
    """A client that is told when its connection is gone, and that insists on TLS."""

    def __init__(self, is_secure: bool) -> None:
        super().__init__()
        self.gone = asyncio.Event()
        self.reason = ""
        self._is_secure = is_secure

    def _connect_command(self) -> bytes:
        # nats-py speaks TLS only if the server asks for it, and the server is not known yet.
        if self._is_secure and not self._server_info.get("tls_required"):
            raise _NoTLS
        return super()._connect_command()

    async def on_error(self, error: Exception) -> None:
        self.reason = _reason(error)

    async def on_closed(self) -> None:
        self.gone.set()

    async def end(self) -> None:
        """Close the connection; there is nothing to be sent that anybody waits for."""
        transport: Any = self._transport
        for writer in (transport._io_writer, transport._bare_io_writer) if transport else ():
            if writer is not None:
                writer.transport.abort()  # else it waits until all is sent
        try:
            await _within(_FAREWELL, self.close())
        except (asyncio.TimeoutError, OSError, errors.Error) as error:
            self.reason = self.reason or _reason(error)


class _Loop:
    """An event loop in a thread of its own, where connections are kept alive between waves."""

    def __enter__(self) -> "_Loop":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _cancel_all(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_FAREWELL)

    def __exit__(self, *_: object) -> None:
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of *coroutine*; unlike wait_for, do not wait for the end of a late one.

    Raises:
        asyncio.TimeoutError: it is late; it is cancelled, which nats-py may ignore.
    """
    task = asyncio.ensure_future(coroutine)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        raise asyncio.TimeoutError
    return task.result()


def _reason(error: BaseException) -> str:
    text = str(error).removeprefix("nats: ") or type(error).__name__
    return _SILENT if isinstance(error, asyncio.TimeoutError) else text
