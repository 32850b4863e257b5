# SPDX-License-Identifier: BSD-3-Clause
"""Sinks: other systems that get each change, read from the log of changes by a relay."""

from typing import TYPE_CHECKING, Any

from .base import Answer, Message, Outcome, Sink
from .registry import SINKS, load_sink
from .relay import Relay

if TYPE_CHECKING:
    from .kafka import Kafka
    from .nats import JetStream
    from .rabbitmq import RabbitMQ
    from .redis import RedisStream
    from .scim import SCIM
    from .webhook import Webhook

__all__ = [
    "SCIM",
    "Answer",
    "JetStream",
    "Kafka",
    "Message",
    "Outcome",
    "RabbitMQ",
    "RedisStream",
    "Relay",
    "Sink",
    "Webhook",
]

_KINDS = {kind.class_name: name for name, kind in SINKS.items()}


def __getattr__(name: str) -> Any:
    if name not in _KINDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load_sink(_KINDS[name])
