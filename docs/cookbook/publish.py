# SPDX-License-Identifier: BSD-3-Clause
"""Publish each change on a bus, at least once, and those of an entry in order."""

import logging
import signal

from syncrepl_client import BaseCallback, Changelog, Syncrepl, SyncreplMode
from syncrepl_client.sinks import RedisStream, Relay

DATA_PATH = "state/publish-"
URL = "ldap://localhost/dc=example,dc=com?uid,cn,mail?sub?(objectClass=inetOrgPerson)"


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    bus = RedisStream("redis://localhost:6379/0", stream="people", maxlen=1_000_000)
    with Syncrepl(
        data_path=DATA_PATH,
        callback=BaseCallback,
        mode=SyncreplMode.REFRESH_AND_PERSIST,
        ldap_url=URL,
        changelog=Changelog(initial="each"),  # the people who are there already are told, too
    ) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        with Relay(DATA_PATH, bus, name="bus", position=0):
            client.run()


if __name__ == "__main__":
    main()
