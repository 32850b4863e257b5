# SPDX-License-Identifier: BSD-3-Clause
"""Where a data path leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.store import file_name, open_store, prefix


def test_a_directory_stands_for_what_is_in_it(tmp_path: Path) -> None:
    for data_path in (tmp_path, str(tmp_path), f"{tmp_path}/"):
        assert prefix(data_path) == f"{tmp_path}/"
        assert file_name(data_path) == f"{tmp_path}/syncrepl.sqlite3"
    assert prefix(tmp_path / "a-") == f"{tmp_path}/a-"
    assert prefix("") == ""


@pytest.mark.parametrize("data_path", [None, 5, b"state"], ids=repr)
def test_what_is_no_path(data_path: object) -> None:
    with pytest.raises(ConfigurationError, match="a str or a path"):
        open_store("sqlite", data_path)  # type: ignore[arg-type]
