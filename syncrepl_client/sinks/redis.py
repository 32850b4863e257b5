# SPDX-License-Identifier: BSD-3-Clause
"""Redis streams: each change is an entry of a stream (``XADD``).

It requires the extra ``[redis]`` (redis-py).
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, Optional, Union

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from ..exceptions import ConfigurationError
from . import endpoint
from .base import Answer, Message, Sink
from .endpoint import Secret

_ADD = """\
local known = tonumber(ARGV[4])
if known > 0 and redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
local length = {}
if tonumber(ARGV[5]) > 0 then length = {'MAXLEN', '~', ARGV[5]} end
local command = {'XADD', KEYS[1], unpack(length)}
for _, each in ipairs({'*', 'id', ARGV[1], 'key', ARGV[2], 'event', ARGV[3]}) do
  command[#command + 1] = each
end
redis.call(unpack(command))
if known > 0 then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[2], now[1] * 1000000 + now[2], ARGV[1])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -known - 1)
end
return 1
"""
"""Adds a message, unless its id is known.  A script takes effect as a whole, or, if its first write
fails (no memory, another type), not at all."""

_BULK = 512 * 1024 * 1024
"""The longest string that a Redis server takes (proto-max-bulk-len), unless configured."""


class RedisStream(Sink):
    """Adds each change to a stream, as an entry with the fields ``id``, ``key`` and ``event``.

    A message that comes again is recognized by its id, among the last *remember*, which the server
    keeps in a sorted set: it is in the stream once.  A message longer than *longest* is refused;
    all that the server answers with an error is sent again: it can be mended there.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str,
        password: Optional[Secret] = None,
        maxlen: int = 0,
        remember: int = 10_000,
        replicas: int = 0,
        longest: int = _BULK,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
    ) -> None:
        """Initialize; nothing is sent.

        Args:
            url: ``rediss://[USER@]HOST[:PORT][/DATABASE]``; ``redis://`` is without TLS.
            stream: the key of the stream.
            password: where the password is; it is read for each connection.
            maxlen: about how many entries to keep in the stream; 0 for all.
            remember: how many ids the server keeps to recognize repeats, in the sorted set
                ``{STREAM}:ids``; 0 for none: then no script is used.
            replicas: how many replicas have to have a message, too (``WAIT``).
            longest: the longest body in octets: the server's ``proto-max-bulk-len``.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that the system trusts.
            timeout: how many seconds the server may be silent.

        Raises:
            ConfigurationError: an argument is not valid, or the password can't be read.
        """
        self._endpoint = endpoint.parse(url, ("redis", "rediss"), 6379)
        self._database = _database(self._endpoint)
        endpoint.check_text("stream", stream)
        endpoint.check_secret("password", password, optional=True)
        for name, value in (("maxlen", maxlen), ("remember", remember), ("replicas", replicas)):
            endpoint.check_count(name, value, 0)
        endpoint.check_count("longest", longest)
        endpoint.check_seconds("timeout", timeout)
        if self._endpoint.user and password is None:
            raise ConfigurationError("a user name in the URL requires password=")
        endpoint.tls_context(cacert)
        self._stream = stream
        self._ids = f"{stream}:ids" if "{" in stream else f"{{{stream}}}:ids"
        self._password = password
        self._maxlen, self._remember, self._replicas = maxlen, remember, replicas
        self._longest = longest
        self._cacert = cacert
        self._timeout = timeout
        self._resources = ExitStack()

    def __repr__(self) -> str:
        return f"<RedisStream {self._stream!r} at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "redis" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)
        options: dict[str, Any] = {}
        if self._endpoint.scheme == "rediss":
            options = {"ssl": True, "ssl_ca_certs": self._cacert, "ssl_check_hostname": True}
        if self._password is not None:
            options["credential_provider"] = _Credentials(self._endpoint.user, self._password)
        client = redis.Redis(
            self._endpoint.host,
            self._endpoint.port,
            self._database,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),  # the relay tries again
            protocol=2,
            **options,
        )
        self._client = self._resources.enter_context(closing(client))

    def close(self) -> None:
        self._resources.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        answers = {
            message.id: Answer.refused(f"{len(message.body)} octets are more than the server takes")
            for message in messages
            if len(message.body) > self._longest
        }
        fit = [message for message in messages if message.id not in answers]
        answers.update(zip((message.id for message in fit), self._deliver(fit)))
        return [answers[message.id] for message in messages]

    def _deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        if not messages:
            return ()
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for message in messages:
                    self._add(pipeline, message)
                if self._replicas:
                    pipeline.wait(self._replicas, int(self._timeout * 500))  # sooner than ours
                results = pipeline.execute(raise_on_error=False)
        except (redis.RedisError, OSError, ConfigurationError) as error:
            return [Answer.failed(_reason(error))] * len(messages)
        replicas = results.pop() if self._replicas else 0
        if isinstance(replicas, Exception) or replicas < self._replicas:
            return [Answer.failed(f"{replicas} of {self._replicas} replicas have it")] * len(
                messages
            )
        return [
            Answer.failed(_reason(result)) if isinstance(result, Exception) else Answer.accepted()
            for result in results
        ]

    def _add(self, pipeline: Any, message: Message) -> None:
        if self._remember:
            pipeline.eval(_ADD, 2, self._stream, self._ids, message.id, message.key, message.body,
                          self._remember, self._maxlen)  # fmt: skip
            return
        fields = {"id": message.id, "key": message.key, "event": message.body}
        pipeline.xadd(self._stream, fields, maxlen=self._maxlen or None)


class _Credentials(CredentialProvider):
    """The password, read for each connection."""

    def __init__(self, user: Optional[str], password: Secret) -> None:
        self._user = user
        self._password = password

    def get_credentials(self) -> Union[tuple[str], tuple[str, str]]:
        password = endpoint.text_of(self._password)
        return (self._user, password) if self._user else (password,)


def _database(where: endpoint.Endpoint) -> int:
    if len(where.servers) != 1:
        raise ConfigurationError("the URL of a Redis stream has one server")
    if not where.path:
        return 0
    if not (where.path.isascii() and where.path.isdecimal()):
        raise ConfigurationError("the path in the URL of a Redis stream is the database's number")
    return int(where.path)


def _reason(error: object) -> str:
    return str(error) or type(error).__name__
