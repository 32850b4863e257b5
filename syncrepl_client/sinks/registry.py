# SPDX-License-Identifier: BSD-3-Clause
"""The sinks that there are: what each needs, and takes, without importing it."""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple, Optional

from ..exceptions import ConfigurationError
from .base import Sink


class Kind(NamedTuple):
    """A kind of sink.  The first argument of its class is the URL.

    Attributes:
        module: the module in this package.
        class_name: the class in it.
        extra: the extra of this library that installs what it needs.
        packages: the packages that it imports.
        schemes: of its URLs.
        secret: the argument that is a PasswordFile or a PasswordVariable.
        needs_secret: whether there has to be one.
        options: further arguments, which are optional, with the type of each: ``str``, ``int``,
            ``float``, ``bool``, or ``dict`` of such.
        required: further arguments, of type ``str``, which there have to be.
    """

    module: str
    class_name: str
    extra: str
    packages: tuple[str, ...]
    schemes: tuple[str, ...]
    secret: str
    needs_secret: bool
    options: Mapping[str, type]
    required: tuple[str, ...] = ()


SINKS: Mapping[str, Kind] = {
    "webhook": Kind(
        module="webhook",
        class_name="Webhook",
        extra="webhook",
        packages=("httpx",),
        schemes=("https", "http"),
        secret="secret",  # noqa: S106 - the name of an argument
        needs_secret=True,
        options={"cacert": str, "timeout": float, "concurrency": int},
    ),
    "redis": Kind(
        module="redis",
        class_name="RedisStream",
        extra="redis",
        packages=("redis",),
        schemes=("redis", "rediss"),
        secret="password",  # noqa: S106
        needs_secret=False,
        required=("stream",),
        options={
            "maxlen": int,
            "remember": int,
            "replicas": int,
            "longest": int,
            "cacert": str,
            "timeout": float,
        },
    ),
    "rabbitmq": Kind(
        module="rabbitmq",
        class_name="RabbitMQ",
        extra="rabbitmq",
        packages=("pika",),
        schemes=("amqps", "amqp"),
        secret="password",  # noqa: S106
        needs_secret=False,
        required=("routing_key",),
        options={
            "exchange": str,
            "declare": str,
            "mandatory": bool,
            "cacert": str,
            "timeout": float,
        },
    ),
}
"""The kinds by their names."""


def load_sink(kind: str) -> type[Sink]:
    """Return the class of a kind of sink.

    Raises:
        ConfigurationError: there is no such kind.
        ModuleNotFoundError: what it needs is not installed; the message names the extra.
    """
    found = SINKS.get(kind)
    if found is None:
        raise ConfigurationError(f"there is no sink {kind!r}: there are {', '.join(SINKS)}")
    try:
        loaded = getattr(import_module(f".{found.module}", __package__), found.class_name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in found.packages:
            raise
        raise ModuleNotFoundError(
            f"{found.class_name} needs {error.name}, which is not installed: "
            f"pip install 'syncrepl_client[{found.extra}]'",
            name=error.name,
        ) from error
    return loaded  # type: ignore[no-any-return]


def kind_of(scheme: str) -> Optional[str]:
    """Return the name of the kind of sink with URLs of that scheme; None if there is none."""
    return next((name for name, kind in SINKS.items() if scheme in kind.schemes), None)
