# SPDX-License-Identifier: BSD-3-Clause
"""The other systems of the campaign: how each is reached, interrupted and read."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.testing.certificates import make_certificates
from tests.faults.sinks.checks import Arrival, check_forward, compare, compare_resources

TIMEOUT = 3.0
"""The relay's, in seconds: a frozen broker is frozen for longer."""


class Bus:
    """Another system, with *server*; *url* and *env* are for the command."""

    url: str
    env: dict[str, str]
    most_away = 1_000_000
    """So many changes, at most, it can get when it was away."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.env = {}

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def interrupt(self) -> None:
        """Take it away for a moment."""
        self.stop()
        self.start()

    def received(self) -> list[Arrival]:
        """What it has, in the order in which it came (for an entry)."""
        raise NotImplementedError

    def check(
        self, expected: Mapping[str, list[str]], entries: Mapping[str, Attributes]
    ) -> tuple[int, int]:
        """See that all came; return how much, and how much of it again.

        Args:
            expected: the ids of the events of each entry.
            entries: what the directory has.
        """
        received = self.received()
        compare(expected, received)
        return len(received), len(received) - len(set(received))


class RedisBus(Bus):
    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.url = f"{server.url}/0?stream=changes&timeout={TIMEOUT}"

    def received(self) -> list[Arrival]:
        with self.server.client(decode_responses=True) as client:
            entries = client.xrange("changes")
        return [Arrival(fields["key"], fields["id"]) for _, fields in entries]


class RabbitMQBus(Bus):
    def __init__(self, server: Any) -> None:
        super().__init__(server)
        server.declare("changes")
        self.url = f"{server.url}?routing_key=changes&timeout={TIMEOUT}"

    def received(self) -> list[Arrival]:
        browsed = self.server.browse("changes")
        return [Arrival(found.headers["key"], found.message_id) for found, _ in browsed]


class NATSBus(Bus):
    def __init__(self, server: Any) -> None:
        super().__init__(server)
        server.add_stream("changes", ["changes.*"])
        self.url = f"{server.url}?subject=changes.{{key}}&timeout={TIMEOUT}"

    def received(self) -> list[Arrival]:
        return [
            Arrival(found.subject.partition(".")[2], found.headers["Nats-Msg-Id"])
            for found in self.server.messages("changes")
        ]


class KafkaBus(Bus):
    """The brokers have all in memory: they are frozen, not restarted, and soon full."""

    most_away = 2_000

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.url = f"{server.url}?topic=changes&timeout={TIMEOUT}"

    def stop(self) -> None:
        self.server.pause()

    def start(self) -> None:
        self.server.resume()

    def interrupt(self) -> None:
        self.stop()
        time.sleep(TIMEOUT + 1)  # for the relay to notice
        self.start()

    def received(self) -> list[Arrival]:
        return [
            Arrival(found.key().decode(), dict(found.headers())["id"].decode())
            for found in self.server.records("changes")
        ]


class WebhookBus(Bus):
    def __init__(self, server: Any) -> None:
        from tests.servers.receiver import SECRET

        super().__init__(server)
        self.url = server.url
        self.env = {"SYNCREPL_WEBHOOK_SECRET": SECRET}

    def stop(self) -> None:
        self.server.stop()

    def received(self) -> list[Arrival]:
        return [Arrival(each.event["partitionkey"], each.id) for each in self.server.received]


class SCIMBus(Bus):
    """It has the state of the entries, not messages."""

    def __init__(self, server: Any) -> None:
        from tests.servers.scim import TOKEN

        super().__init__(server)
        self.url = f"scim+{server.url}?remove=delete&timeout={TIMEOUT}"
        self.env = {"SYNCREPL_SINK_SECRET": TOKEN}

    def stop(self) -> None:
        self.server.lost = True  # what it is doing is done, and not answered
        self.server.stop()
        self.server.lost = False

    def check(
        self, expected: Mapping[str, list[str]], entries: Mapping[str, Attributes]
    ) -> tuple[int, int]:
        users, groups = (self.server.by_external_id(kind) for kind in ("Users", "Groups"))
        compare_resources(entries, users, groups)
        return len(self.server.written), check_forward(self.server.requests)


@contextmanager
def bus(kind: str) -> Iterator[Bus]:
    """Start the other system of that kind."""
    with ExitStack() as stack:
        if kind == "redis":
            from tests.servers.redis import Redis

            yield RedisBus(stack.enter_context(Redis()))
        elif kind == "rabbitmq":
            from tests.servers.rabbitmq import RabbitMQ

            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            yield RabbitMQBus(stack.enter_context(RabbitMQ(make_certificates(place))))
        elif kind == "nats":
            from tests.servers.nats import NATS

            yield NATSBus(stack.enter_context(NATS()))
        elif kind == "kafka":
            from tests.servers.kafka import Kafka

            yield KafkaBus(stack.enter_context(Kafka()))
        elif kind == "scim":
            from tests.servers.scim import SCIMService

            yield SCIMBus(stack.enter_context(SCIMService()))
        else:
            from tests.servers.receiver import Receiver

            yield WebhookBus(stack.enter_context(Receiver()))


KINDS = ("redis", "rabbitmq", "nats", "kafka", "webhook", "scim")
