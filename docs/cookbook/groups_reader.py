# SPDX-License-Identifier: BSD-3-Clause
"""Print the groups of a person: what a web application asks, in a process of its own."""

import sqlite3
import sys
from contextlib import closing

FILE = "state/groups-syncrepl.sqlite3"


def teams_of(uid: str) -> list[str]:
    # Reading neither waits for the program that follows the directory, nor holds it up (WAL).
    with closing(sqlite3.connect(f"file:{FILE}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT team FROM belongs WHERE uid = ? ORDER BY team", (uid,))
        return [team for (team,) in rows]


if __name__ == "__main__":
    print(*teams_of(sys.argv[1]), sep="\n")
