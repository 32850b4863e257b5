# SPDX-License-Identifier: BSD-3-Clause
"""SCIM: the contract, what a service has in the end, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncrepl_client import BaseCallback, Changelog, PasswordFile
from syncrepl_client.sinks import Answer, Message, Outcome, Relay, Sink, cloudevents
from syncrepl_client.sinks.scimmapping import kind_by_class, resource_of
from syncrepl_client.testing import Feed
from syncrepl_client.testing.sinks import SinkContract
from tests.servers.missing import needs, needs_httpx

if TYPE_CHECKING:
    from syncrepl_client.sinks import SCIM
    from tests.servers.scim import Request, SCIMService

pytestmark = [needs_httpx, needs("scim2_models")]
PEOPLE, GROUPS = "ou=people,dc=feed", "ou=groups,dc=feed"
ADA = {"objectClass": ["inetOrgPerson"], "uid": ["ada"], "cn": ["Ada"], "sn": ["Lovelace"],
       "mail": ["ada@example.com", "al@example.com"]}  # fmt: skip


@pytest.fixture
def token(tmp_path: Path) -> PasswordFile:
    path = tmp_path / "token"
    path.write_text("token1234\n")
    path.chmod(0o600)
    return PasswordFile(path)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    log = Changelog(initial="each")
    place = f"{tmp_path}/"
    with Feed(BaseCallback(), store="sqlite", data_path=place, changelog=log) as feed:
        feed.refresh_done()
        yield feed


@pytest.fixture
def service() -> Iterator[SCIMService]:
    from tests.servers.scim import SCIMService

    with SCIMService() as service:
        yield service


def make(service: SCIMService, token: PasswordFile, place: Path, **options: Any) -> SCIM:
    from syncrepl_client.sinks import SCIM

    url = options.pop("url", service.url)
    return SCIM(url, token, data_path=place, **{"timeout": 60.0, **options})


def dn(name: str) -> str:
    return f"uid={name},{PEOPLE}"


def person(name: str, **more: list[str]) -> dict[str, list[str]]:
    return {"objectClass": ["inetOrgPerson"], "uid": [name], "cn": [name], "sn": [name], **more}


def pass_on(feed: Feed, sink: Sink, place: Path) -> Any:
    """Commit, and have a relay pass all on; return what is parked."""
    feed.commit()
    Relay(place, sink, name="scim", position=0).run(once=True)
    return feed.store.changelog.sinks.parked("scim")


class TestContract(SinkContract):
    @pytest.fixture(autouse=True)
    def other(self, service: SCIMService, token: PasswordFile, feed: Feed, tmp_path: Path) -> None:
        self.service, self.token, self.place = service, token, tmp_path
        service.unique = "none"
        self.refused: set[str] = set()
        service.reply = self.reply

    def reply(self, request: Request) -> tuple[int, dict[str, str]] | str:
        return (400, {}) if request.body.get("externalId") in self.refused else ""

    def make_sink(self) -> Sink:
        from syncrepl_client.sinks import SCIM

        class Traced(SCIM):
            """Says to the service for which message a request is made."""

            def _apply(self, message: Message) -> None:
                self._there.client.headers["x-message"] = message.id
                super()._apply(message)

        return Traced(
            self.service.url, self.token, data_path=self.place, timeout=60.0,
            user={"userName": "cn"}, kind=lambda attrs: "Users",
        )  # fmt: skip

    def received(self) -> Sequence[str]:
        return self.service.written

    def refuse(self, key: str) -> None:
        self.refused.add(key)

    def set_away(self, away: bool) -> None:
        if away:
            self.service.stop()
        else:
            self.service.start()

    def set_unconfirmed(self, unconfirmed: bool) -> None:
        self.service.lost = unconfirmed


# --- what the service has in the end


def test_a_life(feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path) -> None:
    uuid = str(feed.add(dn("ada"), ADA))
    feed.add(PEOPLE, {"objectClass": ["organizationalUnit"], "ou": ["people"]})
    sink = make(service, token, tmp_path)
    assert pass_on(feed, sink, tmp_path) == []
    users = service.by_external_id("Users")
    assert "urn:ietf:params:scim:schemas:core:2.0:User" in users[uuid].pop("schemas")
    assert users == {
        uuid: {
            "id": "n1",
            "externalId": uuid,
            "userName": "ada",
            "displayName": "Ada",
            "name": {"formatted": "Ada", "familyName": "Lovelace"},
            "active": True,
            "emails": [
                {"value": "ada@example.com", "primary": True},
                {"value": "al@example.com", "primary": False},
            ],
        }
    }
    feed.rename(dn("ada"), dn("countess"))
    feed.modify(dn("countess"), {**ADA, "uid": ["countess"]})
    assert pass_on(feed, sink, tmp_path) == []
    assert service.by_external_id("Users")[uuid]["userName"] == "countess"
    feed.delete(dn("countess"))
    pass_on(feed, sink, tmp_path)
    (user,) = service.by_external_id("Users").values()
    assert (user["active"], user["userName"]) == (False, "countess")


def test_delete_and_what_is_no_user_any_more(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    feed.add(dn("ada"), ADA)
    feed.add(dn("bob"), person("bob"))
    sink = make(service, token, tmp_path, remove="delete")
    pass_on(feed, sink, tmp_path)
    feed.modify(dn("ada"), {"objectClass": ["account"], "uid": ["ada"]})
    feed.delete(dn("bob"))
    pass_on(feed, sink, tmp_path)
    assert service.by_external_id("Users") == {}
    events = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(3)]
    with sink:
        assert sink.deliver(events[-1:]) == [Answer.accepted()]  # it was gone already


def test_groups(feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path) -> None:
    """Members that come after the group, are in another one, or are no users."""
    group = {"objectClass": ["groupOfNames"], "cn": ["staff"]}
    members = [dn("ada"), f"cn=inner,{GROUPS}", "cn=printer,dc=feed", "uid=nobody,dc=feed", "?"]
    staff = str(feed.add(f"cn=staff,{GROUPS}", {**group, "member": members}))
    feed.add("cn=printer,dc=feed", {"objectClass": ["device"], "cn": ["printer"]})
    inner = str(feed.add(f"cn=inner,{GROUPS}", {**group, "cn": ["inner"], "member": [dn("bob")]}))
    ada = str(feed.add(dn("ada"), ADA))
    bob = str(feed.add(dn("bob"), person("bob")))
    sink = make(service, token, tmp_path)
    assert pass_on(feed, sink, tmp_path) == []
    users, groups = service.by_external_id("Users"), service.by_external_id("Groups")
    assert set(users) == {ada, bob}
    assert {(each["value"], each["type"]) for each in groups[staff]["members"]} == {
        (users[ada]["id"], "User"),
        (groups[inner]["id"], "Group"),
    }
    assert [each["value"] for each in groups[inner]["members"]] == [users[bob]["id"]]
    feed.modify(f"cn=staff,{GROUPS}", {**group, "member": []})
    feed.delete(f"cn=inner,{GROUPS}")
    pass_on(feed, sink, tmp_path)
    (left,) = service.by_external_id("Groups").values()
    assert left.get("members", []) == []
    assert left["displayName"] == "staff"


def test_repeats_and_a_resource_that_somebody_deleted(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    feed.add(dn("ada"), ADA)
    feed.add(f"cn=staff,{GROUPS}",
             {"objectClass": ["groupOfNames"], "cn": ["staff"], "member": [dn("ada")]})  # fmt: skip
    feed.commit()
    messages = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(1)]
    sink = make(service, token, tmp_path)
    with sink:
        for _ in range(2):
            assert sink.deliver(messages) == [Answer.accepted()] * 2
        first = service.by_external_id("Users")
        service.resources["Users"].clear()
        service.reply = lambda request: (
            (400, {}) if "'n1'" in str(request.body.get("members")) else ""
        )
        assert sink.deliver(messages[::-1]) == [Answer.accepted()] * 2
    (user,) = service.by_external_id("Users").values()
    (group,) = service.by_external_id("Groups").values()
    assert user["id"] != first[user["externalId"]]["id"]
    assert [each["value"] for each in group["members"]] == [user["id"]]


@pytest.mark.parametrize("adopt", [False, True])
def test_a_user_of_that_name(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path, adopt: bool
) -> None:
    service.resources["Users"]["old"] = {"id": "old", "userName": "ada", "active": False,
                                         "externalId": "somebody's"}  # fmt: skip
    uuid = str(feed.add(dn("ada"), ADA))
    sink = make(service, token, tmp_path, adopt=adopt)
    parked = pass_on(feed, sink, tmp_path)
    if adopt:
        assert parked == []
        assert service.by_external_id("Users")[uuid]["id"] == "old"
        assert service.by_external_id("Users")[uuid]["active"] is True
    else:
        assert [row.reason for row in parked] == ["HTTP status 409 to POST Users (uniqueness)"]
        assert list(service.by_external_id("Users")) == ["somebody's"]


def test_a_service_that_ignores_filters(feed: Feed, token: PasswordFile, tmp_path: Path) -> None:
    """It answers with somebody, who is not taken for the one who was asked for."""
    from tests.servers.scim import SCIMService

    with SCIMService(knows_filters=False) as service:
        names = ["ada", "bob", "cyd"]
        uuids = [str(feed.add(dn(name), person(name))) for name in names]
        sink = make(service, token, tmp_path, remove="delete")
        pass_on(feed, sink, tmp_path)
        feed.delete(dn("bob"))
        sink = make(service, token, tmp_path, remove="delete")
        pass_on(feed, sink, tmp_path)
        assert sorted(service.by_external_id("Users")) == [uuids[0], uuids[2]]


# --- answers


@pytest.mark.parametrize(("status", "outcome"), [
    *((code, Outcome.REFUSED) for code in (400, 403, 405, 409, 413, 422)),
    *((code, Outcome.FAILED) for code in (301, 401, 408, 429, 500, 501, 503)),
])  # fmt: skip
def test_what_a_status_means(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path, status: int,
    outcome: Outcome,
) -> None:  # fmt: skip
    feed.add(dn("ada"), ADA)
    feed.add(dn("bob"), person("bob"))
    feed.commit()
    messages = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(1)]
    service.reply = lambda request: (status, {"retry-after": "7"}) if request.body else ""
    with make(service, token, tmp_path) as sink:
        answers = sink.deliver(messages)
    assert answers[0].outcome is answers[1].outcome is outcome
    assert answers[0].reason == f"HTTP status {status} to POST Users (invalidValue)"
    assert answers[0].retry_after == (7.0 if outcome is Outcome.FAILED else None)
    is_away = status in (401, 408, 429, 503)
    assert answers[1].reason.startswith("not tried: ") is is_away
    assert "ada" not in str(answers)


def test_the_token_is_read_again(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    feed.add(dn("ada"), ADA)
    feed.commit()
    messages = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(1)]
    with make(service, token, tmp_path) as sink:
        service.token = "another"
        (answer,) = sink.deliver(messages)
        assert answer == Answer.failed("HTTP status 401 to GET Users")
        Path(token.path).write_text("another\n")
        assert sink.deliver(messages) == [Answer.accepted()]
        Path(token.path).unlink()
        (answer,) = sink.deliver(messages)
        assert "can't be read" in answer.reason
        assert "another" not in f"{sink!r} {answer}"


def test_a_frozen_service(
    feed: Feed, service: SCIMService, token: PasswordFile, tmp_path: Path
) -> None:
    import socket

    feed.add(dn("ada"), ADA)
    feed.commit()
    messages = [cloudevents.message(each, "urn:x") for each in feed.store.changelog.events(1)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        from syncrepl_client.sinks import SCIM

        url = f"scim+http://127.0.0.1:{silent.getsockname()[1]}/v2/"
        with SCIM(url, token, data_path=tmp_path, timeout=0.1) as sink:
            assert sink.deliver(messages) == [Answer.failed("timed out")]
    with make(service, token, tmp_path) as sink:
        sink._there._timeout = -1.0  # all of the time that a wave may take has passed
        assert sink.deliver(messages) == [Answer.failed("the service is slow")]


# --- mappings


@pytest.mark.parametrize(("classes", "kind"), [
    (["top", "InetOrgPerson"], "Users"), (["groupOfUniqueNames"], "Groups"),
    (["group", "person"], "Groups"), (["device"], None), ([], None),
])  # fmt: skip
def test_users_and_groups(classes: list[str], kind: str | None) -> None:
    assert kind_by_class({"objectclass": [each.encode() for each in classes]}) == kind


def test_paths_and_functions() -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    attrs = {"UID": [b"ada"], "departmentNumber": [b"7"], "manager": [b"bob"], "sn": []}
    made = resource_of("Users", "u", attrs, {
        "userName": "uid", f"{enterprise}:department": "departmentnumber", "nickName": "sn",
        f"{enterprise}:manager.value": "manager",
    })  # fmt: skip
    assert made == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise],
        "externalId": "u", "userName": "ada", "active": True,
        enterprise: {"department": "7", "manager": {"value": "bob"}},
    }  # fmt: skip
    made = resource_of("Users", "u", attrs, lambda _: {"userName": "x", "active": False})
    assert (made["userName"], made["active"]) == ("x", False)
