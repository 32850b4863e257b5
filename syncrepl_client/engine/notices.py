# SPDX-License-Identifier: BSD-3-Clause
"""What a client says in the log about its searches; some of it once only."""

import logging

from ..entries.printable import printable
from ..network.link import Link
from ..network.server import ServerFacts
from ..protocol.dialect import Dialect
from ..protocol.facts import NotTaken
from .delivery import Delivery

logger = logging.getLogger(__name__)


class Notices:
    """Log messages, which ``debug()`` of the callback gets as well."""

    def __init__(self, link: Link, delivery: Delivery) -> None:
        """Initialize with nothing said."""
        self._link = link
        self._delivery = delivery
        self._said: set[str] = set()

    def tell(self, level: int, event: str, message: str) -> None:
        """Log *message* as *event*."""
        message = printable(message)
        logger.log(level, "%s", message, extra={"event": event})
        self._delivery.debug(event, message)

    def unreported(self, facts: ServerFacts) -> None:
        """Log which attributes will be out of date, once."""
        if facts.unreported and self._is_new("risk"):
            self.tell(
                logging.WARNING,
                "risk",
                f"{self._link.established.url.server} does not report changes of "
                f"{'; '.join(map(str, facts.unreported))}: they are found by the next refresh "
                "without a cookie; set reconcile_every, or follow what they come from",
            )

    def not_taken(self, entry: NotTaken, kind: Dialect) -> None:
        """Log that entries are not part of the answer, once for each reason.

        *kind* is the server's dialect by its cookies: a proxy has a root DSE of its own.
        """
        if not self._is_new(entry.reason):
            return
        expected = bool(kind.hidden_classes)
        which = f"{entry.dn!r}, which is" if entry.dn else "entries that are"
        advice = "" if expected else "; changes may be missing: follow the database itself"
        self.tell(
            logging.INFO if expected else logging.WARNING,
            "not-taken",
            f"{self._link.established.url.server} sent {which} {entry.reason}; such entries are "
            f"ignored{advice}",
        )

    def _is_new(self, what: str) -> bool:
        new = what not in self._said
        self._said.add(what)
        return new
