# SPDX-License-Identifier: BSD-3-Clause
"""A channel to RabbitMQ in confirm mode, with many messages on their way, without a thread.

pika's blocking channel waits for the confirm of each message.  This one is driven by its caller,
for as long as it waits for something.  It requires the extra ``[rabbitmq]`` (pika).
"""

import time
from collections.abc import Sequence
from typing import Any, Callable

import pika
from pika.adapters.select_connection import IOLoop

_FAREWELL = 1.0
"""How many seconds to wait for the broker to confirm that the connection ends."""


class Lost(Exception):
    """The channel can't be used any more, for the reason in the message."""


class _Connection(pika.SelectConnection):  # type: ignore[misc] # pika has no types
    def abort(self) -> None:
        """Close the socket without a word to the broker, which does not answer."""
        self._terminate_stream(pika.exceptions.ConnectionOpenAborted())


class Channel:
    """A connection with one channel.  After :class:`Lost` it can only be closed.

    Attributes:
        settled: what became of the messages, by their ids: why the broker did not take it, empty if
            it did.  The caller removes them.
    """

    def __init__(self, parameters: Sequence[Any]) -> None:
        """Initialize from the parameters of the servers; nothing is sent.

        Args:
            parameters: a ``pika.ConnectionParameters`` for each server.
        """
        self.settled: dict[str, str] = {}
        self._parameters = parameters
        self._unconfirmed: dict[int, str] = {}
        self._returned: dict[str, str] = {}
        self._published = 0
        self._lost = ""
        self._blocked = ""
        self._steps = 0
        self._loop = IOLoop()
        self._workflow: Any = None
        self._connection: Any = None
        self._channel: Any = None

    # --- what a caller does

    def open(self, timeout: float) -> None:
        """Connect, and open the channel in confirm mode.

        Raises:
            Lost: there is no server, or it does not let us in.
        """
        self._workflow = _Connection.create_connection(
            self._parameters, self._on_connected, custom_ioloop=self._loop
        )
        # pika gives up on each server by itself, and is in order only after that.
        patience = 3 * timeout * len(self._parameters)
        self._wait(lambda: self._connection is not None, patience, "connection")
        self._call(timeout, "channel", lambda done: self._connection.channel(on_open_callback=done))
        self._channel.add_on_close_callback(self._on_channel_closed)
        self._channel.add_on_return_callback(self._on_returned)
        self._call(
            timeout,
            "confirm mode",
            lambda done: self._channel.confirm_delivery(self._on_confirmed, done),
        )

    def declare(self, exchange: str, kind: str, timeout: float) -> None:
        """Declare a durable exchange.

        Raises:
            Lost: it can't be declared, or it is another one.
        """
        self._call(
            timeout,
            "exchange",
            lambda done: self._channel.exchange_declare(
                exchange, kind, durable=True, callback=done
            ),
        )

    def is_open(self) -> bool:
        """Return True unless the broker was heard to have ended the connection."""
        self._run(0)
        return not self._lost and self._channel is not None and bool(self._channel.is_open)

    def publish(self, message_id: str, body: bytes, properties: Any, **where: Any) -> None:
        """Send a message.

        Raises:
            Lost: the channel is lost.
        """
        try:
            self._channel.basic_publish(body=body, properties=properties, **where)
        except (pika.exceptions.AMQPError, AssertionError) as error:
            raise Lost(self._lost or _reason(error)) from error
        self._published += 1
        self._unconfirmed[self._published] = message_id

    def confirm(self, timeout: float) -> None:
        """Wait until all messages are settled.

        Raises:
            Lost: the channel is lost; some may be settled.
        """
        self._wait(lambda: not self._unconfirmed, timeout, "confirm")

    def close(self) -> None:
        """Close the connection, in order if the broker answers."""
        connection = self._connection
        if connection is None:
            if self._workflow is not None and not self._lost:
                self._workflow.abort()
                self._until(lambda: bool(self._lost), _FAREWELL)
        elif not connection.is_closed:
            if connection.is_open and not self._lost:
                connection.close()
                self._until(lambda: bool(connection.is_closed), _FAREWELL)
            if not connection.is_closed:
                connection.abort()
                self._until(lambda: bool(connection.is_closed), _FAREWELL)
        self._loop.close()

    # --- waiting

    def _call(self, timeout: float, what: str, call: Callable[[Callable[..., None]], Any]) -> None:
        answers: list[Any] = []

        def done(answer: Any) -> None:
            answers.append(answer)
            self._loop.stop()

        try:
            returned = call(done)
        except pika.exceptions.AMQPError as error:
            raise Lost(self._lost or _reason(error)) from error
        if self._channel is None:
            self._channel = returned
        self._wait(lambda: bool(answers), timeout, what)

    def _wait(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        self._until(lambda: done() or bool(self._lost), timeout)
        if self._lost:
            raise Lost(self._lost)
        if not done():
            raise Lost(self._blocked or f"no {what} within {timeout} s")

    def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done() and time.monotonic() < deadline:
            self._run(deadline - time.monotonic())

    def _run(self, seconds: float) -> None:
        """Handle what comes, until a callback stops it."""
        timer = self._loop.call_later(max(seconds, 0), self._loop.stop)
        self._loop.start()
        self._loop.remove_timeout(timer)

    # --- what the broker says

    def _on_connected(self, result: Any) -> None:
        if isinstance(result, BaseException):
            self._lost = _reason(result)
        else:
            self._connection = result
            result.add_on_close_callback(self._on_closed)
            result.add_on_connection_blocked_callback(self._on_blocked)
            result.add_on_connection_unblocked_callback(self._on_unblocked)
        self._loop.stop()

    def _on_closed(self, _: Any, error: BaseException) -> None:
        self._lost = self._lost or _reason(error)
        self._loop.stop()

    _on_channel_closed = _on_closed

    def _on_blocked(self, _: Any, frame: Any) -> None:
        self._blocked = f"the broker takes no messages now: {frame.method.reason}"

    def _on_unblocked(self, _: Any, frame: Any) -> None:
        self._blocked = ""

    def _on_returned(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        # The confirm of a message that was returned comes after it.
        self._returned[properties.message_id] = (
            f"{method.reply_text}: no queue gets routing key {method.routing_key!r} of exchange "
            f"{method.exchange!r}"
        )

    def _on_confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        tags = (
            [each for each in self._unconfirmed if each <= tag] if frame.method.multiple else [tag]
        )
        is_nack = isinstance(frame.method, pika.spec.Basic.Nack)
        for each in tags:
            message_id = self._unconfirmed.pop(each)
            problem = "the broker did not take it (nack)" if is_nack else ""
            self.settled[message_id] = self._returned.pop(message_id, problem)
        if not self._unconfirmed:
            self._loop.stop()


def _reason(error: BaseException) -> str:
    """Return the innermost error that pika has wrapped."""
    while True:
        inner = getattr(error, "exceptions", None) or getattr(error, "exception", None)
        if isinstance(inner, (tuple, list)) and inner:
            inner = inner[-1]
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = getattr(error, "reply_text", "") or str(error)
    return text or type(error).__name__
