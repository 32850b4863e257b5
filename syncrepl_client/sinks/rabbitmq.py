# SPDX-License-Identifier: BSD-3-Clause
"""RabbitMQ (AMQP 0-9-1): each change is a persistent message, which the broker confirms.

It requires the extra ``[rabbitmq]`` (pika).
"""

import re
from collections.abc import Sequence
from typing import Any, Optional

import pika

from ..exceptions import ConfigurationError
from . import endpoint
from .base import Answer, Message, Sink
from .channel import Channel, Lost
from .cloudevents import CONTENT_TYPE, TYPE
from .endpoint import Secret

_TOO_LARGE = re.compile(r"message size (\d+) (?:.* )?is larger than")
"""What RabbitMQ says when it closes the channel, of which it does not say the message."""
_TYPES = ("direct", "fanout", "topic", "headers", "x-consistent-hash")


class RabbitMQ(Sink):
    """Publishes each change as a persistent message, in waves, with publisher confirms.

    A message that is larger than the broker allows is refused.  All else is sent again: a nack, a
    message that is returned because no queue is bound, an exchange that is missing.  That can be
    mended in the broker, and meant all messages, not this one.
    """

    def __init__(
        self,
        url: str,
        *,
        exchange: str = "",
        routing_key: str,
        password: Optional[Secret] = None,
        declare: str = "",
        mandatory: bool = True,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
    ) -> None:
        """Initialize; nothing is sent.

        Args:
            url: ``amqps://[USER@]HOST[:PORT][/VHOST]``; ``amqp://`` is without TLS.  Several
                servers of a cluster have commas between them: the first that answers is used.
            exchange: the name of the exchange; empty for the default exchange.
            routing_key: the routing key, in which ``{kind}`` and ``{key}`` are replaced by the kind
                of the change and the entryUUID.  With the default exchange, the name of a queue.
            password: where the password is; it is read for each connection.  Without a user and a
                password: ``guest``, which the broker knows from its own host only.
            declare: the type with which to declare the exchange, as durable; empty: it is there.
            mandatory: whether a message has to reach a queue; False: no queue need be bound.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that the system trusts.
            timeout: how many seconds to wait for a connection, and for the confirms of a wave.

        Raises:
            ConfigurationError: an argument is not valid, or the password can't be read.
        """
        self._endpoint = endpoint.parse(url, ("amqp", "amqps"), (5672, 5671))
        if exchange:
            endpoint.check_text("exchange", exchange, 255)
        endpoint.check_text("routing_key", routing_key, 200)
        endpoint.check_secret("password", password, optional=True)
        if (self._endpoint.user is None) is not (password is None):
            raise ConfigurationError("a user name in the URL and password= go together")
        if declare and (declare not in _TYPES or not exchange):
            raise ConfigurationError(
                f"declare is one of {', '.join(_TYPES)}, for an exchange with a name"
            )
        endpoint.check_seconds("timeout", timeout)
        self._tls = endpoint.tls_context(cacert)
        self._exchange, self._routing_key = exchange, routing_key
        self._password = password
        self._declare = declare
        self._mandatory = mandatory
        self._timeout = timeout
        self._channel: Optional[Channel] = None

    def __repr__(self) -> str:
        return f"<RabbitMQ {self._exchange or self._routing_key!r} at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "amqp" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        try:
            channel = self._connected()
            for message in messages:
                channel.publish(
                    message.id,
                    message.body,
                    self._properties(message),
                    exchange=self._exchange,
                    routing_key=endpoint.address(self._routing_key, message),
                    mandatory=self._mandatory,
                )
            channel.confirm(self._timeout)
        except (Lost, ConfigurationError) as error:
            answers = self._lost(messages, str(error))
            self.close()
            return answers
        return [self._answer(channel.settled.pop(message.id)) for message in messages]

    def _connected(self) -> Channel:
        """Return the channel, which is opened unless it is open.

        Raises:
            Lost: it can't be opened.
            ConfigurationError: the password can't be read.
        """
        if self._channel is not None and not self._channel.is_open():
            self.close()
        if self._channel is None:
            self._channel = Channel(self._parameters())
            self._channel.open(self._timeout)
            if self._declare:
                self._channel.declare(self._exchange, self._declare, self._timeout)
        return self._channel

    def _parameters(self) -> list[Any]:
        user, password = self._endpoint.user or "guest", "guest"
        if self._password is not None:
            password = endpoint.text_of(self._password)
        return [
            pika.ConnectionParameters(
                host=host,
                port=port,
                virtual_host=self._endpoint.path or "/",
                credentials=pika.PlainCredentials(user, password),
                heartbeat=0,  # between two waves nobody would answer it
                tcp_options={"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6},
                socket_timeout=self._timeout,
                stack_timeout=self._timeout,
                connection_attempts=1,
                retry_delay=0,
                client_properties={"connection_name": "syncrepl_client"},
                ssl_options=pika.SSLOptions(self._tls, host)
                if self._endpoint.scheme == "amqps"
                else None,
            )
            for host, port in self._endpoint.servers
        ]

    def _properties(self, message: Message) -> Any:
        return pika.BasicProperties(
            message_id=message.id,
            content_type=CONTENT_TYPE,
            type=endpoint.address(f"{TYPE}.{{kind}}", message),
            timestamp=int(message.event.time),
            headers={"key": message.key},
            delivery_mode=pika.DeliveryMode.Persistent.value,
        )

    def _answer(self, problem: str) -> Answer:
        return Answer.failed(problem) if problem else Answer.accepted()

    def _lost(self, messages: Sequence[Message], reason: str) -> list[Answer]:
        """Return the answers after the channel was lost: some may be confirmed, one too large."""
        settled = self._channel.settled if self._channel is not None else {}
        found = _TOO_LARGE.search(reason)
        too_large = int(found[1]) if found else -1
        return [
            self._answer(settled[message.id])
            if message.id in settled
            else Answer.refused(f"RabbitMQ does not take messages of {too_large} octets")
            if len(message.body) == too_large
            else Answer.failed(reason)
            for message in messages
        ]
