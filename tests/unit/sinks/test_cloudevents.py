# SPDX-License-Identifier: BSD-3-Clause
"""What sinks get: CloudEvents 1.0, with data that the published schema describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import syncrepl_client
from syncrepl_client import AttributeChangeKind, ChangeKind, Phase
from syncrepl_client.changelog import Event
from syncrepl_client.formats import event_to_json
from syncrepl_client.protocol.messages import Reference, State
from syncrepl_client.sinks import cloudevents
from tests.servers.missing import needs
from tests.unit.sinks.sinks import dn, logging_feed

ROOT = Path(syncrepl_client.__file__).parents[1]
SCHEMA = ROOT / "docs" / "_extra" / "schemas" / "change-1.json"
SOURCE = "ldap:///dc=feed"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Event]]:
    """Changes of every kind."""
    with logging_feed(tmp_path_factory.mktemp("log")) as feed:
        stamp = {"entryCSN": ["20261128140211.123456Z#000000#000#000000"]}
        feed.modify(dn("a"), {"jpegPhoto": [b"\xff\xd8"], "description": [b"\xff", "é"], **stamp})
        feed.modify(dn("a"), {"description": []})
        feed.rename(dn("a"), dn("Zoë"))
        feed.delete(dn("b"))
        name = b"r" * 16
        feed._tell([Reference(State.ADD, name, ("ldap://h/",))])
        feed._tell([Reference(State.DELETE, name, ())])
        feed.commit()
        found = feed.store.changelog.events()
        yield [*found, found[1]._replace(snapshot=b"s" * 16)]


def test_every_kind_is_there(events: list[Event]) -> None:
    kinds = {event.change.kind.value for event in events if event.change is not None}
    assert kinds == {"add", "modify", "rename", "delete", "reference"}


def test_the_attributes_of_cloudevents(events: list[Event]) -> None:
    for event in events[1:]:
        message = cloudevents.message(event, SOURCE)
        found: dict[str, Any] = json.loads(message.body)
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in found)
        data = found.pop("data")
        assert all(type(value) is str and value for value in found.values())
        assert found["specversion"] == "1.0"
        assert found["id"] == message.id == event.id.hex()
        assert found["source"] == SOURCE
        assert found["type"] == f"io.readthedocs.syncrepl-client.{data['kind']}"
        assert UUID(found["partitionkey"]) == UUID(message.key)
        assert event.change is not None
        assert UUID(message.key) == event.change.uuid
        assert found["subject"] == data.get("dn", message.key)
        moment = datetime.fromisoformat(found["time"].replace("Z", "+00:00"))
        assert moment == event.change.time
        assert found["datacontenttype"] == "application/json"
        assert message.body.isascii()
        assert data == event_to_json(event)


def test_attributes_that_are_left_out(events: list[Event]) -> None:
    data = cloudevents.to_cloudevent(events[5], SOURCE, ["DESCRIPTION"])["data"]
    assert data == event_to_json(events[5], leave_out=["description"])
    assert "description" not in data["attributes"]


def test_the_start_of_a_log_is_no_change(events: list[Event]) -> None:
    assert events[0].change is None
    with pytest.raises(ValueError, match="no change"):
        cloudevents.message(events[0], SOURCE)


@needs("jsonschema")
def test_the_schema(events: list[Event]) -> None:
    import jsonschema

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema["$id"] == cloudevents.SCHEMA
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    described = set(schema["properties"])
    kinds = [kind.value for kind in ChangeKind]
    assert schema["properties"]["kind"]["enum"] == [*kinds, "snapshot"]
    assert set(schema["properties"]["phase"]["enum"]) == {
        phase.name.lower() for phase in Phase if phase is not Phase.OVER
    }
    differing = schema["properties"]["differences"]["additionalProperties"]["properties"]["kind"]
    assert differing["enum"] == [kind.value for kind in AttributeChangeKind]
    named: set[str] = set()
    for event in events[1:]:
        members = cloudevents.to_cloudevent(event, SOURCE)
        assert members["dataschema"] == schema["$id"]
        validator.validate(members["data"])
        named |= set(members["data"])
        for name in ("seq", "id", "kind", "uuid", "phase", "time"):
            less = {key: value for key, value in members["data"].items() if key != name}
            assert not validator.is_valid(less), name
    assert named == described


@pytest.mark.parametrize(("search", "source"), [
    ("ldap://a/dc=x,dc=y??sub", "ldap:///dc=x,dc=y"),
    ("ldaps://b:636/dc=x,dc=y??sub?(cn=*)", "ldap:///dc=x,dc=y"),
    ("ldap://a/ou=Z%C3%BCrich%3F,dc=y??sub", "ldap:///ou=Z%C3%BCrich%3F,dc=y"),
    (None, "ldap:///"),
])  # fmt: skip
def test_the_source(search: str | None, source: str) -> None:
    assert cloudevents.source_of(search) == source
    assert cloudevents.check_source(source) == source
