# SPDX-License-Identifier: BSD-3-Clause
"""One callback for several: each hears of everything, in their order."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ldap import OPT_URI

from ..callbacks import BaseCallback
from ..changes import Change
from ..messages import Attributes

logger = logging.getLogger(__name__)


class Relay(BaseCallback):
    """Hands on what it hears to callbacks that do something with it.

    Attributes:
        heard: how many changes there were, committed or not.
        connected: whether there is a connection.
    """

    def __init__(
        self,
        callbacks: Sequence[BaseCallback],
        tick: Callable[[], object],
        *,
        only_new: bool = False,
    ) -> None:
        """Hand on to *callbacks*.

        Args:
            callbacks: who hears of changes; the first one that raises ends it.
            tick: called at each change.
            only_new: pass over the changes of the first refresh.
        """
        self._callbacks = callbacks
        self.heard = 0
        self.connected = False
        self._tick = tick
        self._quiet = only_new
        self._done = False

    def bind_complete(self, ldap: Any) -> None:
        """Note that there is a connection."""
        logger.info("connected to %s", ldap.get_option(OPT_URI))
        self.connected = True

    def disconnected(self, error: Exception) -> None:
        """Note that there is none."""
        self.connected = False

    def dispatch(self, change: Change) -> None:
        """Hand it on."""
        self.heard += 1
        self._tick()
        if not self._quiet:
            self._each(lambda callback: callback.dispatch(change))

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Hand it on."""
        self._done = True
        self._each(lambda callback: callback.refresh_done(items))

    def before_commit(self) -> None:
        """Hand it on."""
        self._each(lambda callback: callback.before_commit())
        if self._done:
            self._quiet = False

    def debug(self, message: str) -> None:
        """Hand it on: it tells that what was not committed is rolled back."""
        self._each(lambda callback: callback.debug(message))

    def _each(self, call: Callable[[BaseCallback], object]) -> None:
        for callback in self._callbacks:
            call(callback)
