# SPDX-License-Identifier: BSD-3-Clause
"""This library, one refresh: client.py DATA_PATH URL [walk]."""

import sys
import time
from collections.abc import Mapping

from bench.programs.output import tell
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from syncrepl_client.messages import Attributes


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


data_path, url, *walk = sys.argv[1:]
callback = Walk() if walk else Nothing()
with Syncrepl(data_path, callback, SyncreplMode.REFRESH_ONLY, url) as client:
    client.run()
    done = time.monotonic()
tell(done=done, walk=getattr(callback, "seconds", None))
