# SPDX-License-Identifier: BSD-3-Clause
"""Kafka: each change is a record, whose key is the entryUUID.

It requires the extra ``[kafka]`` (confluent-kafka).
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Optional

from confluent_kafka import KafkaError, KafkaException, Producer

from ..exceptions import ConfigurationError
from . import endpoint
from .base import Answer, Message, Sink
from .cloudevents import CONTENT_TYPE
from .endpoint import Secret

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_REFUSED = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
"""What brokers say of a record that they will never take."""
_ACCEPTED = Answer.accepted()
_FAREWELL = 1.0
"""How many seconds to wait for the reports of messages that are given up."""


class Kafka(Sink):
    """Produces each change to a topic, idempotently, and waits until all replicas in sync have it.

    Key and partition come from the entryUUID, so the changes of an entry are in one partition.  A
    record that is too large, or invalid for the broker, is refused.  All else is sent again.
    """

    def __init__(
        self,
        url: str,
        *,
        topic: str,
        password: Optional[Secret] = None,
        mechanism: str = "SCRAM-SHA-512",
        longest: int = 1_000_000,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
    ) -> None:
        """Initialize; nothing is sent.

        Args:
            url: ``kafkas://[USER@]HOST[:PORT][,HOST[:PORT]...]``, to learn the brokers from;
                ``kafka://`` is without TLS.
            topic: the topic, in which ``{kind}`` is replaced by the kind of the change.  With a
                topic for each kind, an entry's changes are in order within a topic only.
            password: where the password of the user is (SASL); it is read for each producer.
            mechanism: the SASL mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
            longest: the longest record in octets: the broker's ``message.max.bytes``.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that the system trusts.
            timeout: how many seconds the brokers may take to confirm a wave.

        Raises:
            ConfigurationError: an argument is not valid, or the password can't be read.
        """
        self._endpoint = endpoint.parse(url, ("kafka", "kafkas"), (9092, 9093))
        if self._endpoint.path:
            raise ConfigurationError("the URL of Kafka brokers has no path: give topic=")
        endpoint.check_text("topic", topic, 249)
        endpoint.check_secret("password", password, optional=True)
        if (self._endpoint.user is None) is not (password is None):
            raise ConfigurationError("a user name in the URL and password= go together")
        if mechanism not in _MECHANISMS:
            raise ConfigurationError(f"mechanism is one of {', '.join(_MECHANISMS)}")
        endpoint.check_count("longest", longest, 1000)
        endpoint.check_seconds("timeout", timeout)
        endpoint.tls_context(cacert)
        self._topic = topic
        self._password = password
        self._mechanism = mechanism
        self._longest = longest
        self._cacert = cacert
        self._timeout = timeout
        self._producer: Optional[Producer] = None
        self._problem = ""

    def __repr__(self) -> str:
        return f"<Kafka {self._topic!r} at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "kafka" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(_FAREWELL)

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        if not messages:
            return []
        try:
            if self._producer is None:
                self._producer = Producer(self._settings())
            answers = self._produce(self._producer, messages)
        except (KafkaException, BufferError, ConfigurationError) as error:
            answers = [Answer.failed(str(error))] * len(messages)
        if all(answer == answers[0] for answer in answers) and answers[0].reason:
            self.close()  # a new one has no fatal error, and the password of then
        return answers

    def _produce(self, producer: Producer, messages: Sequence[Message]) -> list[Answer]:
        answers: dict[str, Answer] = {}
        for message in messages:
            try:
                producer.produce(
                    endpoint.address(self._topic, message),
                    message.body,
                    message.key,
                    headers=[("content-type", CONTENT_TYPE.encode()), ("id", message.id.encode())],
                    on_delivery=partial(self._reported, answers, message.id),
                )
            except KafkaException as error:
                answers[message.id] = self._answer(error.args[0])
        deadline = time.monotonic() + self._timeout
        while len(answers) < len(messages) and time.monotonic() < deadline:
            producer.poll(deadline - time.monotonic())
        late = Answer.failed(self._problem or f"not confirmed within {self._timeout} s")
        if len(answers) < len(messages):
            producer.purge()
            producer.flush(_FAREWELL)
            late_ids = [each.id for each in messages if answers.get(each.id, late) != _ACCEPTED]
            answers.update(dict.fromkeys(late_ids, late))
        return [answers[message.id] for message in messages]

    def _reported(
        self, answers: dict[str, Answer], message_id: str, error: Optional[KafkaError], _: object
    ) -> None:
        answers[message_id] = self._answer(error)

    def _answer(self, error: Optional[KafkaError]) -> Answer:
        if error is None:
            self._problem = ""
            return _ACCEPTED
        if error.code() in _REFUSED:
            return Answer.refused(error.str())
        return Answer.failed(f"{error.str()} {self._problem}".rstrip())

    def _on_error(self, error: KafkaError) -> None:
        self._problem = error.str()

    def _settings(self) -> dict[str, Any]:
        is_secure = self._endpoint.scheme == "kafkas"
        settings: dict[str, Any] = {
            "bootstrap.servers": str(self._endpoint).partition("://")[2],
            "client.id": "syncrepl_client",
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",  # as the Java clients have it
            "message.max.bytes": self._longest,
            "delivery.timeout.ms": max(int(self._timeout * 1000), 1),
            "socket.timeout.ms": max(int(self._timeout * 1000), 10),
            "linger.ms": 0,
            "security.protocol": "SSL" if is_secure else "PLAINTEXT",
            "error_cb": self._on_error,
            "log_level": 2,  # what is not critical is in the answers
        }
        if self._cacert is not None:
            settings["ssl.ca.location"] = self._cacert
        if self._password is not None:
            settings.update(
                {
                    "security.protocol": "SASL_SSL" if is_secure else "SASL_PLAINTEXT",
                    "sasl.mechanism": self._mechanism,
                    "sasl.username": self._endpoint.user,
                    "sasl.password": endpoint.text_of(self._password),
                }
            )
        return settings
