# SPDX-License-Identifier: BSD-3-Clause
"""What has to be in the other system in the end: messages in order, or the directory's state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from syncrepl_client.entries.attributes import Attributes

if TYPE_CHECKING:
    from tests.servers.scim import Request


class Wrong(AssertionError):
    """Something was lost, or came in the wrong order, or grew."""


class Arrival(NamedTuple):
    """A message in the other system."""

    key: str
    id: str


def compare(expected: Mapping[str, list[str]], received: Sequence[Arrival]) -> None:
    """See that each event came, and those of an entry, when they came first, in order."""
    had: dict[str, list[str]] = defaultdict(list)
    known: set[Arrival] = set()
    for arrival in received:
        if arrival not in known:
            known.add(arrival)
            so_far = had[arrival.key]
            so_far.append(arrival.id)
            if expected.get(arrival.key, [])[len(so_far) - 1 : len(so_far)] != so_far[-1:]:
                raise Wrong(f"an event of {arrival.key} came before an earlier one, or is none")
    if had != expected:
        lost = sum(map(len, expected.values())) - sum(map(len, had.values()))
        raise Wrong(f"{lost} events were lost")


def compare_resources(
    entries: Mapping[str, Attributes], users: Mapping[str, Any], groups: Mapping[str, Any]
) -> None:
    """See that the users and groups, by externalId, are the entries, by DN."""
    people: dict[str, Any] = {}
    ids: dict[bytes, str] = {}
    teams: dict[str, Any] = {}
    for dn, attrs in entries.items():
        uuid = attrs["entryUUID"][0].decode()
        if b"inetOrgPerson" in attrs["objectClass"]:
            people[uuid] = {
                "userName": attrs["uid"][0].decode(), "displayName": attrs["cn"][0].decode(),
                "title": attrs["title"][0].decode(), "active": True,
            }  # fmt: skip
            ids[dn.encode()] = users.get(uuid, {}).get("id", "none")
        elif b"groupOfNames" in attrs["objectClass"]:
            teams[uuid] = attrs
    found = {
        uuid: {name: user.get(name) for name in ("userName", "displayName", "title", "active")}
        for uuid, user in users.items()
    }
    if found != people:
        differ = {uuid for uuid in {*found, *people} if found.get(uuid) != people.get(uuid)}
        raise Wrong(f"{len(differ)} users are not as the directory has them: {sorted(differ)[:3]}")
    has = {uuid: {each["value"] for each in group["members"]} for uuid, group in groups.items()}
    should = {
        uuid: {ids[member] for member in attrs["member"] if member in ids}
        for uuid, attrs in teams.items()
    }
    if has != should:
        raise Wrong(f"the members of groups are {has}, not {should}")


def check_forward(requests: Sequence[Request]) -> int:
    """See that no user was set back to an earlier title; return how many writes changed nothing."""
    last: dict[str, tuple[int, ...]] = {}
    repeats = 0
    for request in requests:
        title = request.body.get("title")
        if title is not None:
            uuid, version = request.body["externalId"], tuple(map(int, title.split()))
            if version < last.get(uuid, version):
                raise Wrong(f"the user {uuid} was set back from {last[uuid]} to {version}")
            repeats += version == last.get(uuid)
            last[uuid] = version
    return repeats
