# SPDX-License-Identifier: BSD-3-Clause
"""Checks and defaults of the clients' arguments."""

import math
import time
from typing import Optional, Union

from .. import url
from ..exceptions import ConfigurationError, LDAPUrlError
from ..modes import SyncreplMode
from ..store import Store
from ..waiting.backoff import Backoff

DEFAULT_LEASE = 10.0
"""So many seconds is the lease of a standby, if nobody says otherwise ..."""
LEAST_LEASE, MOST_LEASE = 2, 86400
"""... and so many may it be."""


def check_mode(mode: object) -> None:
    """Check that *mode* is a SyncreplMode.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(mode, SyncreplMode):
        raise ConfigurationError(f"mode is a SyncreplMode, not {mode!r}")


def check_initial(initial: object) -> None:
    """Check that *initial* says whether the first refresh is told.

    Raises:
        ConfigurationError: it doesn't.
    """
    if initial not in ("tell", "silent"):
        raise ConfigurationError(f"initial is 'tell' or 'silent', not {initial!r}")


def check_number(name: str, value: object, *, least: int = 1) -> None:
    """Check that *value* is an int of at least *least*.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is an int, {least} or more, not {value!r}")


def choose_url(
    given: Optional[url.SearchUrl], store: Store, *, change_search: bool = False
) -> url.SearchUrl:
    """Return the URL to follow: *given*, or else the one that the store remembers.

    Args:
        given: by the program.
        store: where the answer is kept.
        change_search: whether *given* may be another search than the store's.

    Raises:
        LDAPUrlError: there is neither.
        LDAPUrlConflict: they are of different searches.
    """
    stored = store.origin.url if store.exists else None
    if given is None:
        if stored is None:
            raise LDAPUrlError("ldap_url is None, and there is no data store that remembers one")
        return url.parse(stored)
    if stored is not None and not change_search:
        given.check_same_search(url.parse(stored))
    return given


def check_seconds(name: str, value: Optional[float], *, least: float = 0) -> Optional[float]:
    """Return *value* if it is None, or a number of seconds of at least *least*.

    Raises:
        ConfigurationError: it is not.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} is a number of seconds or None, not {value!r}")
    if math.isnan(value) or value < least:
        raise ConfigurationError(f"{name} is {least} or more seconds, or None, not {value!r}")
    return value


def choose_lease(standby: object, lease: Optional[float]) -> Optional[float]:
    """Return the lease of a shared store, in seconds; None if it is not to be shared.

    Raises:
        ConfigurationError: an argument is not valid.
    """
    if not isinstance(standby, bool):
        raise ConfigurationError(f"standby is True or False, not {standby!r}")
    lease = check_seconds("lease", lease, least=LEAST_LEASE)
    if lease is not None and lease > MOST_LEASE:
        raise ConfigurationError(f"lease is {MOST_LEASE} seconds or less, not {lease!r}")
    return DEFAULT_LEASE if lease is None and standby else lease


def deadline(timeout: Optional[float]) -> Optional[float]:
    """Return when *timeout* will have passed, by ``time.monotonic()``; None for never.

    Raises:
        ConfigurationError: it is not a number of seconds.
    """
    seconds = check_seconds("timeout", timeout)
    return None if seconds is None or math.isinf(seconds) else time.monotonic() + seconds


def choose_backoff(reconnect: Union[bool, Backoff, None], mode: SyncreplMode) -> Optional[Backoff]:
    """Return the delays before a lost connection is re-established; None: it is not.

    Raises:
        ConfigurationError: *reconnect* is not valid.
    """
    if isinstance(reconnect, Backoff):
        return reconnect
    if reconnect is None:
        reconnect = mode is SyncreplMode.REFRESH_AND_PERSIST
    if not isinstance(reconnect, bool):
        raise ConfigurationError(f"reconnect is True, False, None or a Backoff, not {reconnect!r}")
    return Backoff() if reconnect else None
