# SPDX-License-Identifier: BSD-3-Clause
"""SCIM 2.0 (RFC 7644): people and groups are provisioned in another service.

It requires the extra ``[scim]`` (httpx).
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, Callable, Optional
from uuid import UUID

import httpx

from ..changes import ChangeKind
from ..entries import attributes
from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError, SyncreplError
from ..store import DataPath, StoreReader, describe, read_store
from . import endpoint
from .base import Answer, Message, Outcome, Sink
from .endpoint import Secret
from .httpanswers import AWAY, NOT_REFUSED, retry_after
from .scimmapping import (
    GROUP,
    GROUPS,
    USER,
    USERS,
    Mapper,
    Resource,
    check_mapper,
    kind_by_class,
    resource_of,
    values,
)

MEDIA_TYPE = "application/scim+json"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MANY = 50_000
"""How many ids of the service are kept in memory."""
_BUDGET = 6
"""How many times *timeout* a wave may take, in all."""


class _Problem(Exception):
    """The answer to the message on its way is another one than "accepted"."""

    def __init__(self, answer: Answer, *, away: bool = False) -> None:
        self.answer = answer
        self.away = away


class SCIM(Sink):
    """Keeps users and groups of a service equal to the entries, which it knows by ``externalId``.

    An entry is created or replaced as a whole, whatever the change was, so repeats do no harm.  One
    that is deleted is deactivated (*remove*); a group is deleted.  4xx refuses a change, except
    401, 408 and 429; these and all else are sent again, after ``Retry-After`` if there is one.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        data_path: DataPath,
        user: Mapper = USER,
        group: Mapper = GROUP,
        member: str = "member",
        kind: Callable[[Attributes], Optional[str]] = kind_by_class,
        remove: str = "deactivate",
        adopt: bool = False,
        cacert: Optional[str] = None,
        timeout: float = 10.0,
    ) -> None:
        """Initialize; the token is read, and nothing is sent.

        Args:
            url: the base of the service, such as ``https://idp.example.com/scim/v2``, also with
                ``scim+`` before it.
            token: where the bearer token is; it is read for each wave.
            data_path: that of the client: the store says who the members of a group are.
            user: LDAP attributes by the SCIM attributes of users, such as ``{"userName": "uid",
                "name.givenName": "givenName"}``; or a function that returns the resource, given the
                attributes of an entry.
            group: the same for groups, without members.
            member: the attribute with the DNs of members.
            kind: a function that returns ``"Users"``, ``"Groups"`` or None for the attributes of an
                entry; by default its objectClass decides.
            remove: what happens to the user of an entry that is deleted, or is no user any more:
                ``deactivate`` or ``delete``.
            adopt: whether a user or group of the service with the same userName or displayName,
                which is not known by its externalId, is taken over; else the change is refused.
            cacert: a file with the certificates of the authorities to trust, in PEM; None for those
                that the system trusts.
            timeout: how many seconds the service may be silent.

        Raises:
            ConfigurationError: an argument is not valid, or there is no token.
        """
        where = endpoint.parse(
            url.partition("scim+")[2] or url if type(url) is str else url,
            ("https", "http"),
            (443, 80),
        )
        if where.user or len(where.servers) != 1:
            raise ConfigurationError("the URL of a SCIM service has one server, and no user name")
        endpoint.check_secret("token", token)
        describe(data_path)  # which checks it
        for name, mapper in (("user", user), ("group", group)):
            check_mapper(name, mapper)
        endpoint.check_text("member", member)
        if not callable(kind):
            raise ConfigurationError("kind is a function")
        if remove not in ("deactivate", "delete"):
            raise ConfigurationError(f"remove is 'deactivate' or 'delete', not {remove!r}")
        endpoint.check_seconds("timeout", timeout)
        self._endpoint = where
        self._base = f"{where}/{where.path.rstrip('/')}".rstrip("/")
        self._token = token
        self._data_path = data_path
        self._mappers = {USERS: user, GROUPS: group}
        self._member, self._kind = member, kind
        self._remove, self._adopt = remove, adopt
        self._tls = endpoint.tls_context(cacert)
        self._timeout = timeout
        self._ids: dict[tuple[str, str], str] = {}
        self._deadline = 0.0
        self._store: StoreReader
        self._resources = ExitStack()

    def __repr__(self) -> str:
        return f"<SCIM at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "http" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)
        client = httpx.Client(verify=self._tls, timeout=self._timeout)
        self._client = self._resources.enter_context(client)

    def close(self) -> None:
        self._resources.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        if not messages:
            return []
        answers: dict[str, Answer] = {}
        away = ""
        self._deadline = time.monotonic() + _BUDGET * self._timeout
        try:
            token = endpoint.text_of(self._token)
            with read_store(self._data_path) as self._store:
                self._client.headers["authorization"] = f"Bearer {token}"
                for message in sorted(messages, key=self._is_group):
                    if away:
                        answers[message.id] = Answer.failed(f"not tried: {away}")
                        continue
                    answers[message.id], away = self._answer(message)
        except SyncreplError as error:  # no token, no store
            return [Answer.failed(str(error))] * len(messages)
        return [answers[message.id] for message in messages]

    def _is_group(self, message: Message) -> bool:
        """Return True for what comes after people, who may be its members."""
        change = message.event.change
        return change is not None and self._kind_of(change.new_attrs) == GROUPS

    def _answer(self, message: Message) -> tuple[Answer, str]:
        """Return the answer to a message, and whether the service is away, in words."""
        while True:
            known = bool(self._ids)
            try:
                self._apply(message)
            except _Problem as problem:
                if problem.answer.outcome is Outcome.REFUSED and known:
                    self._ids.clear()  # one may be of a resource that somebody has deleted
                    continue
                return problem.answer, problem.answer.reason if problem.away else ""
            return Answer.accepted(), ""

    # --- changes

    def _apply(self, message: Message) -> None:
        change = message.event.change
        if change is None or change.kind is ChangeKind.REFERENCE:
            return
        old, new = self._kind_of(change.old_attrs), self._kind_of(change.new_attrs)
        if old is not None and old != new:
            self._take_away(old, message.key)
        if new is not None and change.new_attrs is not None:
            self._put(new, message.key, change.new_attrs)

    def _kind_of(self, attrs: Optional[Attributes]) -> Optional[str]:
        return None if attrs is None else self._kind(attrs)

    def _put(self, kind: str, uuid: str, attrs: Attributes) -> str:
        """Create or replace a resource; return its id."""
        resource = resource_of(kind, uuid, attrs, self._mappers[kind])
        if kind == GROUPS:
            resource["members"] = self._members(attrs)
        found = self._find(kind, uuid)
        if found is not None:
            replaced = self._send("PUT", f"{kind}/{found}", {**resource, "id": found}, missing=True)
            if replaced is not None:
                return found
            self._ids.pop((kind, uuid), None)
        return self._create(kind, uuid, resource)

    def _create(self, kind: str, uuid: str, resource: Resource) -> str:
        try:
            made = self._send("POST", kind, resource) or {}
        except _Problem as problem:
            if not problem.answer.reason.startswith("HTTP status 409"):
                raise
            found = self._search(kind, uuid, "externalId", uuid) or self._namesake(kind, resource)
            if found is None:
                raise
            self._send("PUT", f"{kind}/{found}", {**resource, "id": found})
            return found
        if made.get("id"):
            return self._remember(kind, uuid, str(made["id"]))
        return self._search(kind, uuid, "externalId", uuid) or ""

    def _take_away(self, kind: str, uuid: str) -> None:
        found = self._find(kind, uuid)
        if found is None:
            return
        if kind == USERS and self._remove == "deactivate":
            operation = {"op": "replace", "path": "active", "value": False}
            self._send(
                "PATCH",
                f"{kind}/{found}",
                {"schemas": [_PATCH], "Operations": [operation]},
                missing=True,
            )
        else:
            self._send("DELETE", f"{kind}/{found}", missing=True)
            self._ids.pop((kind, uuid), None)

    # --- members

    def _members(self, attrs: Attributes) -> list[Resource]:
        """Return the members of a group that are users or groups themselves.

        One that the service does not know yet is created: its own change is still to come.
        """
        members = []
        for value in values(attrs, self._member):
            found = self._member_id(value)
            if found is not None and found[1]:
                kind, member_id = found
                members.append({"value": member_id, "type": kind[:-1]})
        return members

    def _member_id(self, value: bytes) -> Optional[tuple[str, str]]:
        record = self._record(value)
        if record is None:
            return None
        uuid, attrs = record
        kind = self._kind(attrs)
        if kind is None:
            return None
        found = self._find(kind, uuid)
        if found is None:
            mapper = self._mappers[kind]
            found = self._create(kind, uuid, resource_of(kind, uuid, attrs, mapper))
        return kind, found

    def _record(self, value: bytes) -> Optional[tuple[str, Attributes]]:
        try:
            record = self._store.at(self._store.key(value.decode()))
        except ValueError:  # no DN
            return None
        if record is None:
            return None
        return str(UUID(bytes=record.uuid)), attributes.decode(record.attrs)

    # --- requests

    def _find(self, kind: str, uuid: str) -> Optional[str]:
        known = self._ids.get((kind, uuid))
        if known:
            return known
        return self._search(kind, uuid, "externalId", uuid)

    def _namesake(self, kind: str, resource: Resource) -> Optional[str]:
        name = "userName" if kind == USERS else "displayName"
        if not self._adopt or not resource.get(name):
            return None
        return self._search(kind, resource["externalId"], name, resource[name])

    def _search(self, kind: str, uuid: str, name: str, value: str) -> Optional[str]:
        """Return the id of the resource with that value."""
        query = {"filter": f"{name} eq {json.dumps(value)}"}
        answer = self._send("GET", kind, params=query) or {}
        for each in answer.get("Resources") or ():
            # A service that knows no filters returns others as well.
            if str(each.get(name, "")).casefold() == value.casefold() and each.get("id"):
                return self._remember(kind, uuid, str(each["id"]))
        return None

    def _remember(self, kind: str, uuid: str, resource_id: str) -> str:
        if len(self._ids) >= _MANY:
            self._ids.clear()
        self._ids[kind, uuid] = resource_id
        return resource_id

    def _send(
        self, method: str, path: str, body: Optional[Resource] = None, *, missing: bool = False,
        params: Optional[dict[str, str]] = None,
    ) -> Optional[dict[str, Any]]:  # fmt: skip
        """Send a request, and return the answer; None if *missing* is allowed, and it is missing.

        Raises:
            _Problem: it was not successful.
        """
        if time.monotonic() > self._deadline:
            raise _Problem(Answer.failed("the service is slow"), away=True)
        content = None if body is None else json.dumps(body).encode()
        headers = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE}
        try:
            response = self._client.request(
                method, f"{self._base}/{path}", content=content, headers=headers, params=params
            )
        except httpx.HTTPError as error:
            text = str(error) or type(error).__name__
            raise _Problem(Answer.failed(text), away=True) from error
        if missing and response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return None
        if response.is_success:
            return _object(response)
        raise _problem(method, path, response)


def _object(response: httpx.Response) -> dict[str, Any]:
    """Return the object in a response; an empty one if it has none, as with 204."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem(method: str, path: str, response: httpx.Response) -> _Problem:
    code = response.status_code
    kind = _object(response).get("scimType")
    reason = f"HTTP status {code} to {method} {path.partition('/')[0]}"
    if isinstance(kind, str) and kind.isascii() and kind.isalpha():  # RFC 7644, 3.12
        reason = f"{reason} ({kind[:30]})"
    if response.is_client_error and code not in (*NOT_REFUSED, HTTPStatus.UNAUTHORIZED):
        return _Problem(Answer.refused(reason))
    seconds = retry_after(response.headers.get("retry-after", ""))
    away = code in (*AWAY, HTTPStatus.UNAUTHORIZED)
    return _Problem(Answer.failed(reason, seconds), away=away)
