# SPDX-License-Identifier: BSD-3-Clause
"""Each test runs over each store; some only over those in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncrepl_client.store import Store
from tests.contract.places import FILE_KINDS, KINDS, LASTING_KINDS, Place, make_place


@pytest.fixture(params=KINDS)
def place(request: Any, tmp_path: Path) -> Iterator[Place]:
    place = make_place(request, request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture(params=LASTING_KINDS)
def lasting_place(request: Any, tmp_path: Path) -> Iterator[Place]:
    place = make_place(request, request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_place(request: Any, tmp_path: Path) -> Iterator[Place]:
    place = make_place(request, request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture(params=FILE_KINDS)
def file_place(request: Any, tmp_path: Path) -> Iterator[Place]:
    place = Place(request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Iterator[Place]:
    place = Place("sqlite", tmp_path)
    yield place
    place.close()


@pytest.fixture
def shelve_place(tmp_path: Path) -> Iterator[Place]:
    place = Place("shelve", tmp_path)
    yield place
    place.close()


@pytest.fixture
def store(place: Place) -> Store:
    return place.create()
