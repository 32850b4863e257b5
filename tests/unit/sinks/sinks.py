# SPDX-License-Identifier: BSD-3-Clause
"""A sink for tests, and a store with a log."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from syncrepl_client import BaseCallback, Changelog
from syncrepl_client.sinks import Answer, Message, Sink, cloudevents
from syncrepl_client.testing import Feed


class Scripted(Sink):
    """Answers as *reply* says; remembers the sequence numbers that it accepted, and all waves."""

    def __init__(self, reply: Callable[[Message], Answer] = lambda _: Answer.accepted()) -> None:
        self.reply = reply
        self.waves: list[list[int]] = []
        self.accepted: list[int] = []
        self.changed = threading.Condition()
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def close(self) -> None:
        self.calls.append("close")

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        with self.changed:
            self.waves.append([message.event.seq for message in messages])
            answers = [self.reply(message) for message in messages]
            for message, answer in zip(messages, answers):
                if answer == Answer.accepted():
                    self.accepted.append(message.event.seq)
            self.changed.notify_all()
        return answers


@contextmanager
def logging_feed(directory: Path, changelog: Changelog | None = None) -> Iterator[Feed]:
    """A feed whose store has a log, in which entries a to d are the changes 2 to 5."""
    log = changelog or Changelog(initial="each")
    path = f"{directory}/"
    with Feed(BaseCallback(), store="sqlite", data_path=path, changelog=log) as feed:
        for name in "abcd":
            feed.add(dn(name), {"cn": [name]})
        feed.refresh_done()
        yield feed


def messages_of(directory: Path) -> list[Message]:
    """The messages of four entries, with ids of their own in each call."""
    with logging_feed(directory) as feed:
        return [cloudevents.message(event, "urn:test") for event in feed.store.changelog.events(1)]


def dn(name: str) -> str:
    return f"cn={name},dc=feed"


def change(feed: Feed, *changes: str) -> None:
    """Commit changes: the name of the entry, and the new value, such as ``a:1``."""
    for each in changes:
        name, _, value = each.partition(":")
        feed.modify(dn(name), {"description": [value]})
    feed.commit()
