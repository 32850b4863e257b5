# SPDX-License-Identifier: BSD-3-Clause
"""This library, one refresh: client.py DATA_PATH URL [read] [walk] [snapshot | each].

With one of the last two words it keeps a log of changes, in which the first refresh is that.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

from bench.programs.output import tell
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback

Attributes = dict[str, list[bytes]]


class Nothing(BaseCallback):
    """Does nothing."""


class Read(BaseCallback):
    """Reads two attributes of every entry."""

    def record_add(self, dn: str, attrs: Attributes) -> None:
        attrs.get("uid"), attrs.get("mail")


class Walk(BaseCallback):
    """Looks at every entry once the refresh is done."""

    seconds = 0.0

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        began = time.monotonic()
        for _dn, _attrs in items.items():
            pass
        self.seconds = time.monotonic() - began


data_path, url, *options = sys.argv[1:]
callbacks = {"read": Read, "walk": Walk}
callback = next((callbacks[word]() for word in options if word in callbacks), Nothing())
more: dict[str, Any] = {}
for word in options:
    if word not in callbacks:  # earlier versions have no log
        from syncrepl_client import Changelog

        more["changelog"] = Changelog(initial=word)
with Syncrepl(data_path, callback, SyncreplMode.REFRESH_ONLY, url, **more) as client:
    client.run()
    done = time.monotonic()
tell(done=done, walk=getattr(callback, "seconds", None))
