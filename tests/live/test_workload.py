# SPDX-License-Identifier: BSD-3-Clause
"""A few seeds of the random workload; ``make workload`` runs many."""

from __future__ import annotations

import pytest

from tests.servers import DS389, Slapd
from tests.workload import run_seed

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_slapd(slapd: Slapd, seed: int) -> None:
    run_seed(slapd, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_slapd_without_session_log(slapd_nolog: Slapd, seed: int) -> None:
    run_seed(slapd_nolog, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_389ds(ds389: DS389, seed: int) -> None:
    run_seed(ds389, seed)
