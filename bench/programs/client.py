# SPDX-License-Identifier: BSD-3-Clause
"""This library, one refresh: client.py DATA_PATH URL [walk | snapshot | each].

With one of the last two words it keeps a log of changes, in which the first refresh is that.
"""

import sys
import time
from collections.abc import Mapping

from bench.programs.output import tell
from syncrepl_client import Changelog, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.entries.attributes import Attributes


class Nothing(BaseCallback):
    """Does nothing."""


class Walk(BaseCallback):
    """Looks at every entry once the refresh is done."""

    seconds = 0.0

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        began = time.monotonic()
        for _dn, _attrs in items.items():
            pass
        self.seconds = time.monotonic() - began


data_path, url, *options = sys.argv[1:]
callback = Walk() if "walk" in options else Nothing()
kinds = [word for word in options if word != "walk"]
log = Changelog(initial=kinds[0]) if kinds else None
with Syncrepl(data_path, callback, SyncreplMode.REFRESH_ONLY, url, changelog=log) as client:
    client.run()
    done = time.monotonic()
tell(done=done, walk=getattr(callback, "seconds", None))
