# SPDX-License-Identifier: BSD-3-Clause
"""Collects the statistics of a client from its parts."""

import time

from ..changes import ChangeKind
from ..network.link import Link
from ..protocol import cookie
from ..store import Store
from .delivery import Delivery
from .stats import Stats


def collect(
    store: Store, delivery: Delivery, link: Link, *, stage: str, entries: int, active: bool
) -> Stats:
    """Return the statistics of a client with these parts."""
    heard, committed, holder = link.last_heard, delivery.cookie_committed, store.holder
    made = cookie.newest_time(delivery.origin.cookie)
    return Stats(
        stage,
        entries,
        changes={kind: delivery.changes[kind] for kind in ChangeKind},
        commits=delivery.commits,
        reconnects=max(0, link.connected - 1),
        callback_errors=delivery.errors,
        last_message=None if heard is None else time.time() - (time.monotonic() - heard),
        lag=None if committed is None or made is None else committed - made,
        term=None if holder is None else holder.term,
        timeline=None if holder is None else holder.timeline,
        active=active,
    )
