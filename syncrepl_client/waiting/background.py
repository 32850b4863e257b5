# SPDX-License-Identifier: BSD-3-Clause
"""Functions that may block for long, in a thread of their own."""

import threading
from typing import Callable, Generic, Optional, TypeVar

from .waker import Waker

T = TypeVar("T")


class Background(Generic[T]):
    """A function that runs in a thread.

    Attributes:
        done: whether it has returned, or raised.
    """

    def __init__(
        self,
        function: Callable[[], T],
        discard: Callable[[T], object] = lambda result: None,
        waker: Optional[Waker] = None,
        *,
        name: str,
    ) -> None:
        """Start the thread.

        Args:
            function: what it calls.
            discard: called with the result where that is not needed any more.
            waker: woken when it is done.
            name: of the thread.
        """
        self.done = False
        self._function = function
        self._discard = discard
        self._waker = waker
        self._lock = threading.Lock()
        self._abandoned = False
        self._results: list[T] = []
        self._error: Optional[BaseException] = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        results, error = list[T](), None
        try:
            results.append(self._function())
        except BaseException as caught:  # noqa: BLE001 - raised again by result()
            error = caught
        with self._lock:
            self._results, self._error, self.done = results, error, True
            if not self._abandoned:
                if self._waker is not None:
                    self._waker.wake()
                return
        self._discard_results()

    def result(self) -> T:
        """Return what the function returned, or raise what it raised; only when done."""
        with self._lock:  # it does not use the waker any more
            if not self._results:
                raise self._error or RuntimeError("it is still being done")
            return self._results[0]

    def abandon(self) -> bool:
        """Discard the result as soon as there is one; return whether it was done already."""
        with self._lock:
            self._abandoned, done = True, self.done
        if done:
            self._discard_results()
        return done

    def _discard_results(self) -> None:
        for result in self._results:
            self._discard(result)
