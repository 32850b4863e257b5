# SPDX-License-Identifier: BSD-3-Clause
"""This library in the persist stage: follow.py DATA_PATH URL CHANGES MARKS [log] [diff].

Says ``ready`` after the refresh, and ends when it has committed so many changes, and entries
with so many different descriptions that begin with ``mark``.  With ``log`` it keeps a log; with
``diff`` its callback asks for the differences of each change.
"""

import sys
import time
from typing import Any

import syncrepl_client
from bench.programs.output import tell
from syncrepl_client import Change, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback


class Count(BaseCallback):
    """Counts changes, and notes when it hears of a mark."""

    def __init__(self, marks: int) -> None:
        self.changes = 0
        self.wanted = marks
        self.heard: dict[str, float] = {}

    def dispatch(self, change: Change) -> None:
        self.changes += 1
        if differs:
            syncrepl_client.diff(change.old_attrs, change.new_attrs)
        if self.wanted:
            (text, *_) = (change.new_attrs or {}).get("description", [b""])
            if text.startswith(b"mark"):
                self.heard.setdefault(text.decode(), time.monotonic())


data_path, url = sys.argv[1:3]
changes, marks = int(sys.argv[3]), int(sys.argv[4])
differs = "diff" in sys.argv[5:]
callback = Count(marks)
committed: dict[str, float] = {}
more: dict[str, Any] = {}
if "log" in sys.argv[5:]:  # earlier versions have none
    more["changelog"] = syncrepl_client.Changelog()
mode = SyncreplMode.REFRESH_AND_PERSIST
with Syncrepl(data_path, callback, mode, url, **more) as client:
    while not client.refreshed:
        client.poll()
    callback.changes = 0
    callback.heard.clear()
    cpu = time.process_time()
    print("ready", flush=True)
    while callback.changes < changes or len(committed) < marks:
        client.poll()
        done = time.monotonic()
        for name in list(callback.heard)[len(committed) :]:
            committed[name] = done
    cpu = time.process_time() - cpu
times = {name: (heard, committed[name]) for name, heard in callback.heard.items()}
tell(done=done, client_cpu=cpu, changes=callback.changes, marks=times)
