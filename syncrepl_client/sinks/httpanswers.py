# SPDX-License-Identifier: BSD-3-Clause
"""What the status of an HTTP response says about a message, and about the server."""

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Optional

NOT_REFUSED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)
"""Answers in the range of client errors that are no refusals.  The first is about the secret."""
AWAY = (
    *NOT_REFUSED,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Answers that another message would get as well."""
_MOST_RETRY_AFTER = 3600.0
"""The longest Retry-After, in seconds, that is honoured."""


def retry_after(value: str) -> Optional[float]:
    """Return the seconds in a Retry-After (RFC 9110, section 10.2.3); None if there are none."""
    if value.isascii() and value.isdecimal():
        seconds = float(value)
    else:
        try:
            then = parsedate_to_datetime(value)
        except (ValueError, TypeError):  # the latter before Python 3.10
            return None
        if then.tzinfo is None:
            then = then.replace(tzinfo=timezone.utc)
        seconds = (then - datetime.now(timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), _MOST_RETRY_AFTER)
