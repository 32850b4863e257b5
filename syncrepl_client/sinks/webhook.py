# SPDX-License-Identifier: BSD-3-Clause
"""Webhooks: each change in an HTTP request, signed by the rules of Standard Webhooks.

It requires the extra ``[webhook]`` (httpx).
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Optional

import httpx

from ..exceptions import ConfigurationError
from . import endpoint
from .base import Answer, Message, Sink
from .cloudevents import CONTENT_TYPE
from .endpoint import Secret
from .httpanswers import AWAY, NOT_REFUSED, retry_after
from .signatures import keys_of, signature

_LONGEST_ANSWER = 65536
"""How many octets of a response are read, for the connection to be used again."""


class Webhook(Sink):
    """Sends each change as a CloudEvent in a POST request.

    2xx accepts it, 4xx except 401, 408 and 429 refuses it; everything else, redirects included,
    means another attempt, after the time in ``Retry-After`` if there is one (an hour at most).
    """

    def __init__(
        self,
        url: str,
        secret: Secret,
        *,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
        concurrency: int = 4,
    ) -> None:
        """Initialize; the secret is read, and nothing is sent.

        Args:
            url: where to send the requests, an ``https`` URL.  With ``http``, to another host than
                this one, a warning is logged: others may read what is sent.
            secret: where the signing secret is, ``whsec_`` and base64; it is read for each wave.
                Several, with blanks between them, are all used: for a rotation.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that httpx trusts.
            timeout: how many seconds the server may be silent.
            concurrency: how many requests may be on their way.

        Raises:
            ConfigurationError: an argument is not valid, or there is no secret.
        """
        endpoint.check_secret("secret", secret)
        endpoint.check_seconds("timeout", timeout)
        endpoint.check_count("concurrency", concurrency)
        self._url = _parsed(url)
        self._secret = secret
        self._timeout = timeout
        self._concurrency = concurrency
        self._tls = True if cacert is None else endpoint.tls_context(cacert)
        self._resources = ExitStack()
        keys_of(secret())

    def __repr__(self) -> str:
        # Neither path nor query: with some services they are the password.
        return f"<Webhook at {self._url.scheme}://{self._url.netloc.decode('ascii')}>"

    def open(self) -> None:
        if self._url.scheme == "http" and not endpoint.is_loopback(self._url.host):
            endpoint.warn_in_clear(self)
        self._pool = self._resources.enter_context(
            ThreadPoolExecutor(self._concurrency, thread_name_prefix="webhook")
        )
        self._client = self._resources.enter_context(
            httpx.Client(verify=self._tls, timeout=self._timeout)
        )

    def close(self) -> None:
        self._resources.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        try:
            keys = keys_of(self._secret())
        except ConfigurationError as error:
            return [Answer.failed(str(error))] * len(messages)
        away = threading.Event()
        return list(self._pool.map(partial(self._send, keys, away), messages))

    def _send(self, keys: Sequence[bytes], away: threading.Event, message: Message) -> Answer:
        """Send a message, unless the server was found to be away."""
        if away.is_set():
            return Answer.failed("not tried: the server is away")
        now = int(time.time())
        headers = {
            "content-type": CONTENT_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(keys, message.id, now, message.body),
        }
        try:
            with self._client.stream(
                "POST", self._url, content=message.body, headers=headers
            ) as response:
                self._discard(response)
        except httpx.HTTPError as error:
            away.set()
            return Answer.failed(str(error) or type(error).__name__)
        if response.status_code in AWAY:
            away.set()
        return _answer(response)

    def _discard(self, response: httpx.Response) -> None:
        """Read the body, so that the connection can be used again; not if it is long, or slow."""
        deadline, size = time.monotonic() + self._timeout, 0
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > _LONGEST_ANSWER or time.monotonic() > deadline:
                return


def _answer(response: httpx.Response) -> Answer:
    code = response.status_code
    if response.is_success:
        return Answer.accepted()
    if response.is_client_error and code not in NOT_REFUSED:
        return Answer.refused(f"HTTP status {code}")
    return Answer.failed(
        f"HTTP status {code}", retry_after(response.headers.get("retry-after", ""))
    )


def _parsed(url: str) -> httpx.URL:
    # The URL is not in the messages: part of it may be secret.
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise ConfigurationError("the URL of the webhook is not valid") from None
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise ConfigurationError("the URL of the webhook begins with https:// and a host")
    if parsed.userinfo:
        raise ConfigurationError("the URL of the webhook has a user name or a password in it")
    return parsed
