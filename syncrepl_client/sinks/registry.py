# SPDX-License-Identifier: BSD-3-Clause
"""The sinks that there are: what each needs, and takes, without importing it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl

from ..exceptions import ConfigurationError
from ..store import DataPath
from .base import Sink
from .endpoint import Secret

_SIGNING, _LOGIN, _BEARER = "secret", "password", "token"
"""Names of arguments."""


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
        reads_store: whether there has to be an argument *data_path*, that of the relay.
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
    reads_store: bool = False


SINKS: Mapping[str, Kind] = {
    "webhook": Kind(
        module="webhook",
        class_name="Webhook",
        extra="webhook",
        packages=("httpx",),
        schemes=("https", "http"),
        secret=_SIGNING,
        needs_secret=True,
        options={"cacert": str, "timeout": float, "concurrency": int},
    ),
    "redis": Kind(
        module="redis",
        class_name="RedisStream",
        extra="redis",
        packages=("redis",),
        schemes=("redis", "rediss"),
        secret=_LOGIN,
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
        secret=_LOGIN,
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
    "nats": Kind(
        module="nats",
        class_name="JetStream",
        extra="nats",
        packages=("nats",),
        schemes=("tls", "nats"),
        secret=_LOGIN,
        needs_secret=False,
        required=("subject",),
        options={"stream": str, "cacert": str, "timeout": float},
    ),
    "kafka": Kind(
        module="kafka",
        class_name="Kafka",
        extra="kafka",
        packages=("confluent_kafka",),
        schemes=("kafkas", "kafka"),
        secret=_LOGIN,
        needs_secret=False,
        required=("topic",),
        options={"mechanism": str, "longest": int, "cacert": str, "timeout": float},
    ),
    "scim": Kind(
        module="scim",
        class_name="SCIM",
        extra="scim",
        packages=("httpx",),
        schemes=("scim+https", "scim+http"),
        secret=_BEARER,
        needs_secret=True,
        reads_store=True,
        options={
            "user": dict,
            "group": dict,
            "member": str,
            "remove": str,
            "adopt": bool,
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


def kind_of(url: str) -> Optional[str]:
    """Return the name of the kind of sink that *url* is for; None if there is none."""
    scheme = url.partition("://")[0]
    return next((name for name, kind in SINKS.items() if scheme in kind.schemes), None)


def make_sink(
    url: str, secret: Optional[Secret], *, data_path: DataPath, cacert: Optional[str] = None
) -> Sink:
    """Return a sink for a URL, whose query has further arguments of the kind's class.

    The query of a webhook's URL belongs to the webhook.

    Args:
        url: the URL, such as ``redis://localhost/0?stream=people``.
        secret: where the secret is; None for none.
        data_path: that of the relay.
        cacert: a file with the certificates of the authorities to trust, in PEM.

    Raises:
        ConfigurationError: the URL, or an argument in it, is not valid.
        ModuleNotFoundError: what the sink needs is not installed.
    """
    name = kind_of(url)
    if name is None:
        raise ConfigurationError("there is no sink for that URL")
    kind = SINKS[name]
    arguments: dict[str, Any] = {}
    if name != "webhook":
        url, _, query = url.partition("?")
        arguments = _arguments(name, kind, query)
    if secret is not None:
        arguments[kind.secret] = secret
    elif kind.needs_secret:
        raise ConfigurationError(f"the sink {name!r} needs a secret")
    if kind.reads_store:
        arguments["data_path"] = data_path
    make: Any = load_sink(name)
    sink: Sink = make(url, cacert=cacert, **arguments)
    return sink


def _arguments(name: str, kind: Kind, query: str) -> dict[str, Any]:
    known = {**dict.fromkeys(kind.required, str), **kind.options}
    known = {each: type_ for each, type_ in known.items() if type_ is not dict and each != "cacert"}
    arguments: dict[str, Any] = {}
    for each, text in parse_qsl(query, keep_blank_values=True):
        if each not in known or each in arguments:
            raise ConfigurationError(
                f"the URL of the sink {name!r} has once each of {', '.join(known)}, not {each!r}"
            )
        arguments[each] = _converted(each, known[each], text)
    for each in kind.required:
        if each not in arguments:
            raise ConfigurationError(f"the URL of the sink {name!r} lacks {each}=: ...?{each}=NAME")
    return arguments


def _converted(name: str, type_: type, text: str) -> Any:
    if type_ is bool:
        if text not in ("true", "false"):
            raise ConfigurationError(f"{name} is true or false, not {text!r}")
        return text == "true"
    try:
        return type_(text)
    except ValueError:
        raise ConfigurationError(f"{name} is a number, not {text!r}") from None
