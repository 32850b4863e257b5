# SPDX-License-Identifier: BSD-3-Clause
"""Whether a server knows what a store knows."""

from __future__ import annotations

import pytest

from syncrepl_client.exceptions import StoreInvalid
from syncrepl_client.protocol.knowledge import (
    Knowledge,
    doubt,
    missing,
    of_cookie,
    of_csns,
    of_ruv,
    shortfall,
)

OLD, NEW = "20261128190803.385247Z", "20261128190803.385248Z"


def csn(time: str, sid: str) -> bytes:
    return f"{time}#000000#{sid}#000000".encode()


def openldap(**csns: str) -> Knowledge:
    return of_csns(csn(time, sid[1:]) for sid, time in csns.items())


@pytest.mark.parametrize(
    ("stored", "there", "lacks"),
    [
        (openldap(_001=OLD), openldap(_001=OLD), None),
        (openldap(_001=OLD), openldap(_001=NEW), None),
        (openldap(_001=OLD), openldap(_001=NEW, _002=OLD), None),
        (openldap(_001=NEW), openldap(_001=OLD), "server ID 001 up to"),
        (openldap(_001=NEW, _002=OLD), openldap(_001=OLD, _002=NEW), "server ID 001 up to"),
        (openldap(_001=OLD, _002=OLD), openldap(_001=NEW), "no change of server ID 002"),
        (openldap(_001=OLD), Knowledge(), None),
        (Knowledge(), openldap(_001=OLD), None),
    ],
)
def test_a_server_lacks_something(stored: Knowledge, there: Knowledge, lacks: str | None) -> None:
    found = shortfall(stored, there)
    assert found is None if lacks is None else lacks in (found or "")
    assert bool(missing(stored, there)) is (lacks is not None)


def test_a_cookie_says_it_too() -> None:
    cookie = b"rid=000,sid=001,csn=" + csn(OLD, "000") + b";" + csn(NEW, "001")
    assert of_cookie(cookie) == openldap(_000=OLD, _001=NEW)
    assert of_cookie(b"c1") == of_cookie(None) == of_cookie(b"rid=000") == Knowledge()


RUV = [
    b"{replicageneration} 6b0b270e000000010000",
    b"{replica 1 ldap://localhost:28480} 6b0b270e000200010000 6b0b2711000400010000",
    b"{replica 2 ldap://localhost:22428}",
    b"{replica 12} 6b0b2711000100020000 6b0b2712000000020000",
]


def test_a_replica_update_vector() -> None:
    found = of_ruv(RUV)
    assert found.changes == {"1": "6b0b2711000400010000", "12": "6b0b2712000000020000"}
    assert found.data == {"replica generation": "6b0b270e000000010000"}
    assert of_ruv([]) == of_ruv([b"\xff", b"{replica 1"]) == Knowledge()


def test_other_data() -> None:
    stored = of_ruv(RUV)
    initialized = stored._replace(data={"replica generation": "6b0b270e000000010001"})
    assert "replica generation" in (shortfall(stored, initialized) or "")
    assert shortfall(stored, stored._replace(data={})) is None  # it doesn't say
    assert shortfall(stored._replace(data={}), stored) is None


@pytest.mark.parametrize(
    ("stored", "there", "doubted"),
    [
        (Knowledge(server="a:1"), Knowledge(server="a:1"), False),
        (Knowledge(server="a:1"), Knowledge(server="b:1"), True),
        (Knowledge(server="a:1"), Knowledge(), True),
        (Knowledge(), Knowledge(server="b:1"), False),
        (of_ruv(RUV)._replace(server="a:1"), of_ruv(RUV)._replace(server="b:1"), False),
        (of_ruv(RUV)._replace(server="a:1"), Knowledge(server="b:1"), True),
        (Knowledge(server="a:1"), of_ruv(RUV)._replace(server="b:1"), True),
    ],
)
def test_another_server_of_which_nobody_knows(
    stored: Knowledge, there: Knowledge, doubted: bool
) -> None:
    reason = doubt(stored, there)
    assert (reason is not None) is doubted
    assert reason is None or "a:1" in reason


@pytest.mark.parametrize(
    "known", [Knowledge(), openldap(_001=OLD), of_ruv(RUV)._replace(server="é:1")]
)
def test_what_a_store_keeps(known: Knowledge) -> None:
    assert Knowledge.parse(str(known)) == known


def test_a_store_that_knows_nothing() -> None:
    assert Knowledge.parse(None) == Knowledge()
    for text in ("", "{", "[]", "{}", '{"changes": {}, "data": {}}', "null", "1",
                 '{"changes": {"1": 2}, "data": {}, "server": null}',
                 '{"changes": [], "data": {}, "server": null}',
                 '{"changes": {}, "data": {}, "server": 1}'):  # fmt: skip
        with pytest.raises(StoreInvalid, match="what it knows"):
            Knowledge.parse(text)
