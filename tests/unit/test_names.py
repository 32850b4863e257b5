# SPDX-License-Identifier: BSD-3-Clause
"""Which names a program may import, and from where: those of today, and those of before."""

from __future__ import annotations

import importlib

import pytest

import syncrepl_client
from tests.modules import imported, superfluous

PUBLIC = {
    "syncrepl_client": [*syncrepl_client.__all__, "__version__"],
    "syncrepl_client.callbacks": ["AsyncCallback", "Attributes", "BaseCallback", "LoggingCallback"],
    "syncrepl_client.consumer": ["SyncreplConsumer"],
    "syncrepl_client.doctor": ["Advice", "Finding", "Verdict", "examine"],
    "syncrepl_client.exceptions": ["LDAPUrlConflict", "StoreError", "SyncreplError"],
    "syncrepl_client.formats": ["JSONLinesCallback", "LDIFCallback", "to_json"],
    "syncrepl_client.store": [
        "MemoryStore", "Origin", "SQLiteStore", "ShelfStore", "Store", "StoreReader", "read_store",
    ],
    "syncrepl_client.testing": ["Feed", "ServerFailed", "ServerMissing", "Slapd"],
}  # fmt: skip
MOVED = {
    "backoff": ["Backoff"],
    "delivery": ["RetryCallback"],
    "differences": ["OPERATIONAL", "diff"],
    "dn": ["key"],
    "retry": ["retriable"],
    "verification": ["BOOKKEEPING", "DERIVED", "Difference"],
}
"""Modules that the documentation once named, and what it named in them."""


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    for name in PUBLIC[module]:
        assert getattr(importlib.import_module(module), name) is not None
    assert dir(syncrepl_client) == sorted(set(dir(syncrepl_client)))
    assert set(syncrepl_client.__all__) <= set(dir(syncrepl_client))


@pytest.mark.parametrize("name", MOVED)
def test_names_of_before(name: str) -> None:
    alias = importlib.import_module(f"syncrepl_client.{name}")
    assert getattr(syncrepl_client, name) is alias
    for each in MOVED[name]:
        assert getattr(alias, each) is not None
    with pytest.raises(AttributeError):
        alias.nothing  # noqa: B018 - it is asked for


def test_an_alias_and_its_module_have_the_same_objects() -> None:
    code = "from syncrepl_client.delivery import RetryCallback as one; import syncrepl_client.dn"
    code += "\nfrom syncrepl_client import RetryCallback, dn_key"
    code += "\nassert one is RetryCallback and syncrepl_client.dn.key is dn_key"
    assert "syncrepl_client.engine.callbackretry" in imported(code)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        syncrepl_client.nothing  # noqa: B018 - it is asked for


def test_what_is_not_used_is_not_imported() -> None:
    assert "ldap" not in imported("import syncrepl_client, syncrepl_client.delivery")
    assert "syncrepl_client.client" not in imported("import syncrepl_client.exceptions")
    client = imported("from syncrepl_client import Syncrepl")
    assert "syncrepl_client.engine.poller" in client
    assert not superfluous(client)
