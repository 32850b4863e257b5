# SPDX-License-Identifier: BSD-3-Clause
"""A callback that calls several callbacks, in order."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ldap import OPT_URI

from ..callbacks import BaseCallback
from ..changes import Change
from ..entries.attributes import Attributes

logger = logging.getLogger(__name__)


class FanOut(BaseCallback):
    """Calls several callbacks for each change.

    Attributes:
        heard: how many changes there were, committed or not.
        connected: whether there is a connection.
    """

    def __init__(self, callbacks: Sequence[BaseCallback], tick: Callable[[], object]) -> None:
        """Initialize from the callbacks.

        Args:
            callbacks: the first one that raises ends the call.
            tick: called at each change.
        """
        self._callbacks = callbacks
        self.heard = 0
        self.connected = False
        self._tick = tick

    def bind_complete(self, ldap: Any) -> None:
        """Record that there is a connection."""
        logger.info("connected to %s", ldap.get_option(OPT_URI))
        self.connected = True

    def disconnected(self, error: Exception) -> None:
        """Record that there is no connection."""
        self.connected = False

    def dispatch(self, change: Change) -> None:
        """Call all callbacks."""
        self.heard += 1
        self._tick()
        self._each(lambda callback: callback.dispatch(change))

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Call all callbacks."""
        self._each(lambda callback: callback.refresh_done(items))

    def before_commit(self) -> None:
        """Call all callbacks."""
        self._each(lambda callback: callback.before_commit())

    def debug(self, message: str) -> None:
        """Call all callbacks: some detect a rollback by it."""
        self._each(lambda callback: callback.debug(message))

    def _each(self, call: Callable[[BaseCallback], object]) -> None:
        for callback in self._callbacks:
            call(callback)
