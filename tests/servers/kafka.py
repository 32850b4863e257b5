# SPDX-License-Identifier: BSD-3-Clause
"""Kafka brokers for tests: the mock cluster of librdkafka, in a process of its own.

They keep records in memory, 5 MB a partition, so they can be frozen, but not restarted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Any

from tests.patience import HANGS_SECONDS

PROGRAM = """\
import sys
from confluent_kafka import Producer
producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
(broker,) = producer.list_topics(timeout=60).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


class Kafka:
    """One broker; each topic has four partitions, and is there when it is first asked for."""

    def __enter__(self) -> Kafka:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address, "the mock cluster did not start"
        self.port = int(self.address.rpartition(":")[2])
        self.url = f"kafka://{self.address}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def records(self, topic: str) -> list[Any]:
        """The records of a topic; those of a partition are in order."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({
            "bootstrap.servers": self.address, "group.id": "tests", "enable.auto.commit": False,
            "fetch.wait.max.ms": 5, "log_level": 0,
        })  # fmt: skip
        try:
            found: list[Any] = []
            partitions = consumer.list_topics(topic, HANGS_SECONDS).topics[topic].partitions
            starts = [TopicPartition(topic, number, 0) for number in partitions]
            marks = [consumer.get_watermark_offsets(each, HANGS_SECONDS) for each in starts]
            assert all(low == 0 for low, _ in marks), "the mock cluster has dropped records"
            ends = [high for _, high in marks]
            consumer.assign(starts)
            deadline = time.monotonic() + HANGS_SECONDS
            while len(found) < sum(ends) and time.monotonic() < deadline:
                record = consumer.poll(1)
                if record is not None and record.error() is None:
                    found.append(record)
            return found
        finally:
            consumer.close()
