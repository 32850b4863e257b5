# SPDX-License-Identifier: BSD-3-Clause
"""Signatures of webhooks as Standard Webhooks 1.0.0 defines them, symmetric ones (``v1``)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from ..exceptions import ConfigurationError

_PREFIX = b"whsec_"
_SIZES = range(24, 65)
"""The sizes of a key, in octets, that the specification allows."""


def keys_of(secret: bytes) -> list[bytes]:
    """Return the keys in *secret*.

    There may be several, with blanks between them: during a rotation the receiver has one of them.

    Raises:
        ConfigurationError: there is none, or one is not valid.  The message does not show it.
    """
    keys = [_key(word) for word in secret.split()]
    if not keys:
        raise ConfigurationError("the secret of the webhook is empty")
    return keys


def _key(word: bytes) -> bytes:
    try:
        key = base64.b64decode(
            word[len(_PREFIX) :] if word.startswith(_PREFIX) else word, validate=True
        )
    except ValueError:
        key = b""
    if len(key) not in _SIZES:
        raise ConfigurationError(
            "the secret of the webhook is not one of Standard Webhooks: 'whsec_' and 24 to 64 "
            "random octets in base64"
        )
    return key


def signature(keys: Sequence[bytes], id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``.

    Args:
        keys: the keys; the value has a signature with each.
        id: the value of ``webhook-id``.
        timestamp: the value of ``webhook-timestamp``: seconds of Unix time.
        body: the body of the request.
    """
    signed = b"%s.%d.%s" % (id.encode(), timestamp, body)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
