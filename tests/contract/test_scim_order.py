# SPDX-License-Identifier: BSD-3-Clause
"""SCIM: changes that come late, or again, of entries that have changed since; and certificates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncrepl_client import PasswordFile
from syncrepl_client.sinks import Answer, Message, Outcome, cloudevents
from syncrepl_client.testing import Feed
from syncrepl_client.testing.certificates import make_certificates
from tests.conftest import missing_servers_skip
from tests.contract.test_scim import ADA, GROUPS, dn, make, pass_on, person
from tests.contract.test_scim import feed as feed
from tests.contract.test_scim import service as service
from tests.contract.test_scim import token as token
from tests.servers.missing import needs, needs_httpx

if TYPE_CHECKING:
    from tests.servers.scim import SCIMService

pytestmark = [needs_httpx, needs("scim2_models")]
STAFF = f"cn=staff,{GROUPS}"


@pytest.fixture
def deliver(feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path) -> Iterator[Any]:
    """Delivers the changes with these numbers (the first is 2); returns the reasons for not."""
    with make(service, token, tmp_path, remove="delete") as sink:

        def deliver(*numbers: int) -> list[str]:
            feed.commit()
            events = feed.store.changelog.events(1)
            messages: list[Message] = [cloudevents.message(each, "urn:x") for each in events]
            return [each.reason for each in sink.deliver([messages[seq - 2] for seq in numbers])]

        yield deliver


def names(service: SCIMService) -> dict[str, str]:
    """The user names by entryUUID."""
    return {uuid: user["userName"] for uuid, user in service.by_external_id("Users").items()}


def test_nobody_is_set_back(feed: Feed, service: SCIMService, deliver: Any) -> None:
    uuid = str(feed.add(dn("ada"), ADA))
    feed.modify(dn("ada"), {**ADA, "title": ["1"]})
    feed.modify(dn("ada"), {**ADA, "title": ["2"]})
    for seq in (2, 4, 3, 2):
        assert deliver(seq) == [""]
        assert service.by_external_id("Users")[uuid]["title"] == "2"


def test_who_was_deleted_since_is_not_created(
    feed: Feed, service: SCIMService, deliver: Any
) -> None:
    feed.add(dn("ada"), ADA)
    feed.modify(dn("ada"), {**ADA, "title": ["1"]})
    feed.delete(dn("ada"))
    for seq in (2, 3, 4, 2, 3, 4):
        assert deliver(seq) == [""]
    assert service.written == []


def test_what_became_a_group_is_no_user(feed: Feed, service: SCIMService, deliver: Any) -> None:
    uuid = str(feed.add(STAFF, {**person("staff"), "cn": ["staff"]}))
    assert deliver(2) == [""]
    feed.modify(STAFF, {"objectClass": ["groupOfNames"], "cn": ["staff"]})
    assert deliver(2, 3) == [""] * 2
    assert (names(service), list(service.by_external_id("Groups"))) == ({}, [uuid])


@pytest.mark.parametrize("order", list(itertools.permutations((3, 4))))
def test_a_name_of_who_was_deleted(
    feed: Feed, service: SCIMService, deliver: Any, order: tuple[int, int]
) -> None:
    feed.add(dn("ada"), ADA)
    assert deliver(2) == [""]
    feed.delete(dn("ada"))
    uuid = str(feed.add(dn("ada"), ADA))
    for seq in (*order, 2, 3, 4):
        assert deliver(seq) == [""]
    assert names(service) == {uuid: "ada"}


def test_names_that_move_on(feed: Feed, service: SCIMService, deliver: Any) -> None:
    """Each has the name that the one before had; the last change comes first."""
    uuids = [str(feed.add(dn(name), person(name))) for name in "abc"]
    assert deliver(2, 3, 4) == [""] * 3
    for old, new in ("cd", "bc", "ab"):
        feed.modify(dn(old), person(new))
        feed.rename(dn(old), dn(new))
    assert deliver(9) == [""]
    assert names(service) == dict(zip(uuids, "bcd"))
    assert deliver(5, 6, 7, 8) == [""] * 4
    assert names(service) == dict(zip(uuids, "bcd"))


def test_a_name_that_two_have(feed: Feed, service: SCIMService, deliver: Any) -> None:
    """Neither gives it up; names that are swapped can't be, one after the other."""
    taken = "HTTP status 409 to {} Users (uniqueness)"
    uuids = [str(feed.add(dn(name), person(name))) for name in "ab"]
    assert deliver(2, 3) == [""] * 2
    feed.modify(dn("a"), person("b"))
    assert deliver(4) == [taken.format("PUT")]
    feed.modify(dn("b"), person("a"))
    assert deliver(5) == [taken.format("PUT")]
    feed.add("uid=c,dc=feed", person("b"))
    assert deliver(6) == [taken.format("POST")]
    assert names(service) == dict(zip(uuids, "ab"))


def test_a_member_with_the_name_of_who_was_deleted(
    feed: Feed, service: SCIMService, deliver: Any
) -> None:
    feed.add(dn("ada"), ADA)
    assert deliver(2) == [""]
    feed.delete(dn("ada"))
    uuid = str(feed.add(dn("ada"), ADA))
    group = str(feed.add(
        STAFF, {"objectClass": ["groupOfNames"], "cn": ["staff"], "member": [dn("ada")]}
    ))  # fmt: skip
    assert deliver(5) == [""]
    assert names(service) == {uuid: "ada"}
    (member,) = service.by_external_id("Groups")[group]["members"]
    assert member["value"] == service.by_external_id("Users")[uuid]["id"]


def test_deactivated_users_keep_their_names(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    old = str(feed.add(dn("ada"), ADA))
    sink = make(service, token, tmp_path)
    assert pass_on(feed, sink, tmp_path) == []
    feed.delete(dn("ada"))
    new = str(feed.add(dn("ada"), ADA))
    (parked,) = pass_on(feed, sink, tmp_path)
    assert parked.reason == "HTTP status 409 to POST Users (uniqueness)"
    assert service.by_external_id("Users")[old]["active"] is False
    feed.store.changelog.sinks.release("scim")
    assert pass_on(feed, make(service, token, tmp_path, adopt=True), tmp_path) == []
    (user,) = service.by_external_id("Users").values()
    assert (user["externalId"], user["active"]) == (new, True)


def test_values_that_the_log_leaves_out(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    feed.add(STAFF, {"objectClass": ["groupOfNames"], "cn": ["staff"], "member": [dn("ada")]})
    feed.add(dn("ada"), {**ADA, "userPassword": ["hunter2"]})
    mapping = {"userName": "uid", "nickName": "userPassword", "title": "sn"}
    assert pass_on(feed, make(service, token, tmp_path, user=mapping), tmp_path) == []
    (user,) = service.by_external_id("Users").values()
    assert user["title"] == "Lovelace"
    assert "hunter2" not in str(service.requests)


# --- TLS


def test_certificates(feed: Feed, token: PasswordFile, tmp_path: Path) -> None:
    with missing_servers_skip():
        certificates = make_certificates(tmp_path, names="DNS:localhost")
    from tests.servers.scim import SCIMService

    feed.add(dn("ada"), ADA)
    feed.commit()
    messages = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(1)]
    ca = str(certificates.ca_file)
    with SCIMService(certificates=certificates) as service:
        elsewhere = service.url.replace("localhost", "127.0.0.1")
        for url, cacert, reason in (
            (service.url, None, "certificate verify failed"),
            (elsewhere, ca, "certificate is not valid for '127.0.0.1'"),
        ):
            with make(service, token, tmp_path, url=url, cacert=cacert) as sink:
                (answer,) = sink.deliver(messages)
            assert answer.outcome is Outcome.FAILED
            assert reason in answer.reason
        assert service.requests == []
        with make(service, token, tmp_path, cacert=ca) as sink:
            assert sink.deliver(messages) == [Answer.accepted()]
        assert len(names(service)) == 1
