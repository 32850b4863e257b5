# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of the client: what they mean, and which can't be used."""

import math
import time
from typing import Optional, Union

from . import url
from .backoff import Backoff
from .exceptions import ConfigurationError, LDAPUrlError
from .modes import SyncreplMode
from .store import Store


def check_mode(mode: object) -> None:
    """See that *mode* is one.

    Raises:
        ConfigurationError: it isn't.
    """
    if not isinstance(mode, SyncreplMode):
        raise ConfigurationError(f"mode is a SyncreplMode, not {mode!r}")


def check_data_path(data_path: object) -> None:
    """See that *data_path* is one.

    Raises:
        ConfigurationError: it isn't.
    """
    if not isinstance(data_path, str):
        raise ConfigurationError(f"data_path is a str, not {data_path!r}")


def check_number(name: str, value: object, *, least: int = 1) -> None:
    """See that *value* is a whole number.

    Raises:
        ConfigurationError: it isn't, or it is less than *least*.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is an int, {least} or more, not {value!r}")


def choose_url(given: Optional[url.SearchUrl], store: Store) -> url.SearchUrl:
    """Return the URL to follow: *given*, or else the one that the store remembers.

    Raises:
        LDAPUrlError: there is neither.
        LDAPUrlConflict: they are of different searches.
    """
    stored = store.origin.url if store.exists else None
    if given is None:
        if stored is None:
            raise LDAPUrlError("ldap_url is None, and there is no data store that remembers one")
        return url.parse(stored)
    if stored is not None:
        given.check_same_search(url.parse(stored))
    return given


def check_seconds(name: str, value: Optional[float], *, least: float = 0) -> Optional[float]:
    """Return *value* if it is a number of seconds, or None.

    Raises:
        ConfigurationError: it isn't, or it is less than *least*.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} is a number of seconds or None, not {value!r}")
    if math.isnan(value) or value < least:
        raise ConfigurationError(f"{name} is {least} or more seconds, or None, not {value!r}")
    return value


def deadline(timeout: Optional[float]) -> Optional[float]:
    """Return when *timeout* will be over, by ``time.monotonic()``; None for never.

    Raises:
        ConfigurationError: it is no number of seconds.
    """
    seconds = check_seconds("timeout", timeout)
    return None if seconds is None or math.isinf(seconds) else time.monotonic() + seconds


def choose_backoff(reconnect: Union[bool, Backoff, None], mode: SyncreplMode) -> Optional[Backoff]:
    """Return how long to wait before a lost connection is made again; None: it is not.

    Raises:
        ConfigurationError: *reconnect* says neither.
    """
    if isinstance(reconnect, Backoff):
        return reconnect
    if reconnect is None:
        reconnect = mode is SyncreplMode.REFRESH_AND_PERSIST
    if not isinstance(reconnect, bool):
        raise ConfigurationError(f"reconnect is True, False, None or a Backoff, not {reconnect!r}")
    return Backoff() if reconnect else None
