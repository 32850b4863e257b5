# SPDX-License-Identifier: BSD-3-Clause
"""A few seeds of the random workload; ``make workload`` runs many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import missing_servers_skip
from tests.servers import DS389, Slapd
from tests.workload import EXACT_NAME, run_seed

SEEDS = range(8)


@pytest.fixture(scope="module")
def exact_slapd() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(sessionlog=1000, extra_config=EXACT_NAME) as server:
        yield server


@pytest.fixture(scope="module")
def exact_slapd_nolog() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(extra_config=EXACT_NAME) as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
def test_slapd(exact_slapd: Slapd, seed: int) -> None:
    run_seed(exact_slapd, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_slapd_without_session_log(exact_slapd_nolog: Slapd, seed: int) -> None:
    run_seed(exact_slapd_nolog, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_389ds(ds389: DS389, seed: int) -> None:
    run_seed(ds389, seed)
