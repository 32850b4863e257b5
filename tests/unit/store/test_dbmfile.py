# SPDX-License-Identifier: BSD-3-Clause
"""dbm files: what the kinds of them would do slowly."""

from __future__ import annotations

import dbm
import dbm.dumb
import os
from pathlib import Path

import pytest

from syncrepl_client.store.shelve.dbmfile import DbmFile, open_dbm


def test_deletions_write_dumbs_directory_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as long as the store has entries, and dumb writes it for each of them."""
    monkeypatch.setattr(dbm, "open", dbm.dumb.open)
    path, rename, renamed = str(tmp_path / "file"), os.rename, []
    names = [b"%d" % number for number in range(100)]
    file = DbmFile(path, "n")
    for name in names:
        file[name] = b"x"

    def count(old: bytes, new: bytes) -> None:
        renamed.append(os.fsdecode(new))
        rename(old, new)

    monkeypatch.setattr(os, "rename", count)
    file.delete([*names[10:], b"never there"])
    file.close()
    assert renamed == [f"{path}.bak"]
    reopened = open_dbm(path, "w")
    assert sorted(reopened) == names[:10]
    del reopened[b"0"]
    reopened.close()
    assert len(renamed) > 1
