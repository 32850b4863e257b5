# SPDX-License-Identifier: BSD-3-Clause
"""Keep an audit log of a directory: a line of JSON for each change, on disk before its commit."""

import logging
import os
import signal
from typing import IO

from syncrepl_client import JSONLinesCallback, Syncrepl, SyncreplMode

LOG = "audit.jsonl"
DATA_PATH = "state/audit-"
URL = (
    "ldap://localhost/dc=example,dc=com"
    # entryCSN (OpenLDAP) differs after each write; modifyTimestamp has whole seconds only.
    "?*,creatorsName,createTimestamp,modifiersName,modifyTimestamp,entryCSN?sub"
)
SECRET = {"userPassword", "krbPrincipalKey", "ipaNTHash", "sambaNTPassword"}


class Audit(JSONLinesCallback):
    """Writes lines, and waits until they are on the disk."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, leave_out=SECRET)
        self.stream = stream

    def before_commit(self) -> None:
        super().before_commit()
        os.fsync(self.stream.fileno())


def end_last_line(stream: IO[bytes]) -> None:
    """Cut off half a line: a process that was killed has left it, and its change comes again."""
    stream.seek(0)
    stream.truncate(sum(len(line) for line in stream if line.endswith(b"\n")))


def follow(stream: IO[bytes]) -> None:
    with Syncrepl(DATA_PATH, Audit(stream), SyncreplMode.REFRESH_AND_PERSIST, URL) as client:
        end_last_line(stream)  # now that the store is locked: nobody else writes
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        client.run()


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    descriptor = os.open(LOG, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "a+b") as stream:
        follow(stream)


if __name__ == "__main__":
    main()
