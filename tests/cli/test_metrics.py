# SPDX-License-Identifier: BSD-3-Clause
"""``watch --metrics`` serves numbers for Prometheus."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncrepl_client import ChangeKind
from syncrepl_client.changelog import SinkState
from syncrepl_client.cli.output.metrics import Figures, StatsCollector
from syncrepl_client.engine.stats import Stats
from syncrepl_client.store import open_changelog
from tests.cli.commands import run, run_python, running
from tests.cli.conftest import PEOPLE
from tests.cli.test_watch import change_all, url
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import person_dn
from tests.servers.process import free_port


def read(port: int, host: str = "127.0.0.1") -> dict[str, float]:
    """The metrics: the name, and the one label's value if there is one."""
    with urllib.request.urlopen(f"http://{host}:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        ".".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_numbers_of_a_run(server: Slapd, tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, "watch", "--metrics", str(port), "--brief", url(server)) as command:
        command.wait_for("in step")
        change_all(server)
        command.wait_for(f"add     {person_dn(100)}")
        numbers = read(port)
        while numbers["syncrepl_changes_total.add"] == PEOPLE:
            time.sleep(0.02)  # until that is committed
            numbers = read(port)
        assert numbers["syncrepl_changes_total.add"] == PEOPLE + 1
        assert numbers["syncrepl_changes_total.modify"] == 1
        assert numbers["syncrepl_changes_total.rename"] == 1
        assert numbers["syncrepl_changes_total.delete"] == 1
        assert numbers["syncrepl_entries"] == PEOPLE
        assert numbers["syncrepl_stage.persist"] == 1
        assert numbers["syncrepl_stage.refresh"] == 0
        assert numbers["syncrepl_commits_total"] >= 2
        assert numbers["syncrepl_reconnects_total"] == 0
        assert numbers["syncrepl_callback_errors_total"] == 0
        assert abs(numbers["syncrepl_last_message_timestamp_seconds"] - time.time()) < HANGS_SECONDS
        assert numbers["syncrepl_lag_seconds"] < HANGS_SECONDS
        assert "process_resident_memory_bytes" in numbers
        server.restart()
        while read(port)["syncrepl_reconnects_total"] != 1:
            time.sleep(0.02)
        assert command.stop() == 0


def test_failures_are_counted_and_what_failed_is_not(server: Slapd, tmp_path: Path) -> None:
    port = free_port()
    arguments = ("--metrics", f"127.0.0.1:{port}", "--exec", "false", url(server))
    with running(tmp_path, "watch", *arguments) as command:
        command.wait_for("again in", err=True)
        numbers = read(port)
        assert numbers["syncrepl_callback_errors_total"] >= 1
        assert numbers["syncrepl_changes_total.add"] == numbers["syncrepl_entries"] == 0
        assert command.stop() == 0


def test_entries_that_were_there_count(server: Slapd, tmp_path: Path) -> None:
    state, port = f"{tmp_path}/state-", free_port()
    assert run("watch", "--once", "--data", state, url(server)).code == 0
    with running(tmp_path, "watch", "--data", state, "--metrics", str(port)) as command:
        command.wait_for("in step")
        assert read(port)["syncrepl_entries"] == PEOPLE
        assert command.stop() == 0


def test_a_port_that_is_taken(server: Slapd) -> None:
    done = run("watch", "--once", "--metrics", str(server.port), url(server))
    assert (done.code, done.out) == (2, "")
    assert "--metrics can't listen on 127.0.0.1" in done.err


def test_the_extra_is_named_where_it_is_missing(server: Slapd) -> None:
    program = "import sys; sys.modules['prometheus_client'] = None\n"
    program += "from syncrepl_client.cli import main\n"
    done = run_python(program + f"main(['watch', '--metrics', '1', {url(server)!r}])")
    assert (done.code, done.out) == (2, "")
    assert "pip install 'syncrepl_client[metrics]'" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("stage", ["refresh", "a stage of its own"])
def test_plain_numbers_from_anywhere(stage: str) -> None:
    stats = Stats(stage, 3, {ChangeKind.ADD: 2}, 1, 0, 0, None, lag=1.5)
    families = {each.name: each for each in StatsCollector(lambda: [Figures(stats)]).collect()}
    stages = {each.labels["stage"]: each.value for each in families["syncrepl_stage"].samples}
    assert [name for name, value in stages.items() if value] == [stage]
    assert families["syncrepl_lag_seconds"].samples[0].value == 1.5
    assert "syncrepl_last_message_timestamp_seconds" not in families


def test_the_sinks_of_the_state(server: Slapd, tmp_path: Path) -> None:
    state, port = f"{tmp_path}/state-", free_port()
    arguments = ("--data", state, "--log", "1d", "--metrics", str(port), "--brief", url(server))
    with running(tmp_path, "watch", *arguments) as command:
        command.wait_for("in step")
        assert not [name for name in read(port) if name.startswith("syncrepl_sink")]
        with open_changelog(state) as log:
            log.sinks.add("crm", 0, snapshot=True)
            log.sinks.park("crm", 1, b"u" * 16, "no")
        numbers = read(port)
        assert numbers["syncrepl_sink_behind_changes.crm"] == 1
        assert numbers["syncrepl_sink_lag_seconds.crm"] > 0
        assert numbers["syncrepl_sink_parked_changes.crm"] == 1
        assert numbers["syncrepl_sink_lost_changes.crm"] == 0
        assert numbers["syncrepl_sink_snapshot_entries.crm"] == 0
        assert command.stop() == 0


def test_several_clients_are_told_apart() -> None:
    stats = Stats("persist", 3, {ChangeKind.ADD: 2}, 1, 0, 0, None, lag=1.5)
    sink = SinkState("crm", 1, 0.0, 2, 3.0, 0, 1, None)
    figures = [Figures(stats, [sink], "one"), Figures(stats, [], "two")]
    families = {each.name: each for each in StatsCollector(lambda: figures).collect()}
    assert [each.labels for each in families["syncrepl_entries"].samples] == [
        {"stream": "one"}, {"stream": "two"},
    ]  # fmt: skip
    (lost,) = families["syncrepl_sink_lost_changes"].samples
    assert (lost.labels, lost.value) == ({"stream": "one", "sink": "crm"}, 1.0)
