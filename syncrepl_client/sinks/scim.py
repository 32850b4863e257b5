# SPDX-License-Identifier: BSD-3-Clause
"""SCIM 2.0 (RFC 7644): people and groups are provisioned in another service.

It requires the extra ``[scim]`` (httpx).
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Callable, Optional
from uuid import UUID

import httpx

from ..changelog import Event, Log
from ..changelog.log import Entry
from ..changes import Change, ChangeKind
from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError, SyncreplError, UsageError
from ..store import DataPath, StoreReader, describe, read_store
from . import endpoint
from .base import Answer, Message, Outcome, Sink
from .endpoint import Secret
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
from .scimservice import Problem, Service

_NAMES = {USERS: "userName", GROUPS: "displayName"}


class SCIM(Sink):
    """Keeps users and groups of a service equal to the entries, which it knows by ``externalId``.

    Whatever the change was, an entry is created or replaced as a whole, as it is by now: so repeats
    do no harm.  One that was deleted is deactivated (*remove*); a group is deleted.  4xx refuses a
    change, except 401, 408 and 429; these and all else are sent again, after ``Retry-After`` if
    there is one.
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
        self._service: Optional[Service] = None
        self._store: StoreReader
        self._log: Log
        self._newest = 0
        self._freeing: set[str] = set()

    def __repr__(self) -> str:
        return f"<SCIM at {self._endpoint}>"

    def open(self) -> None:
        if self._endpoint.scheme == "http" and not self._endpoint.is_here:
            endpoint.warn_in_clear(self)
        client = httpx.Client(verify=self._tls, timeout=self._timeout)
        self._service = Service(self._base, client, self._timeout)

    def close(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            service.close()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Answer]:
        if not messages:
            return []
        answers: dict[str, Answer] = {}
        away = ""
        try:
            self._there.begin(endpoint.text_of(self._token))
            with read_store(self._data_path) as self._store:
                self._log = self._store.changelog
                self._newest = self._log.newest
                for message in sorted(messages, key=self._is_group):
                    if away:
                        answers[message.id] = Answer.failed(f"not tried: {away}")
                        continue
                    answers[message.id], away = self._answer(message)
        except SyncreplError as error:  # no token, no store
            return [Answer.failed(str(error))] * len(messages)
        return [answers[message.id] for message in messages]

    @property
    def _there(self) -> Service:
        if self._service is None:
            raise UsageError("the sink is not open")
        return self._service

    def _is_group(self, message: Message) -> bool:
        """Return True for what comes after people, who may be its members."""
        change = message.event.change
        return change is not None and self._kind_of(change.new_attrs) == GROUPS

    def _answer(self, message: Message) -> tuple[Answer, str]:
        """Return the answer to a message, and whether the service is away, in words."""
        while True:
            known = self._there.knows_ids
            try:
                self._apply(message)
            except Problem as problem:
                if problem.answer.outcome is Outcome.REFUSED and known:
                    self._there.forget()
                    continue
                return problem.answer, problem.answer.reason if problem.away else ""
            return Answer.accepted(), ""

    # --- changes

    def _apply(self, message: Message) -> None:
        change = message.event.change
        if change is None or change.kind is ChangeKind.REFERENCE:
            return
        attrs = self._now(message.event, change)
        kind = self._kind_of(attrs)
        for other in {self._kind_of(change.old_attrs), self._kind_of(change.new_attrs)}:
            if other is not None and other != kind:
                self._take_away(other, message.key)
        if kind is not None and attrs is not None:
            self._put(kind, message.key, attrs)

    def _now(self, event: Event, change: Change) -> Optional[Attributes]:
        """Return the attributes of the entry as it is by now; None if it is gone.

        As it was then would be wrong when changes come again: a user would be set back, and one who
        was deleted since would be created once more, with a name that another one may have by now.
        """
        entry = self._log.entry(change.uuid, self._newest)
        if entry is not None:
            return entry.attrs
        last = next(self._log.history(change.uuid), None)
        return change.new_attrs if last is None or last.seq <= event.seq else None

    def _kind_of(self, attrs: Optional[Attributes]) -> Optional[str]:
        return None if attrs is None else self._kind(attrs)

    def _put(self, kind: str, uuid: str, attrs: Attributes) -> None:
        """Create or replace a resource."""
        resource = resource_of(kind, uuid, attrs, self._mappers[kind])
        if kind == GROUPS:
            resource["members"] = self._members(attrs)
        found = self._there.find(kind, uuid)
        if found is None or not self._replace(kind, found, resource):
            self._create(kind, resource)

    def _replace(self, kind: str, found: str, resource: Resource) -> bool:
        try:
            return self._there.replace(kind, found, resource)
        except Problem as problem:
            if problem.status != HTTPStatus.CONFLICT or not self._free(kind, resource):
                raise
            return self._there.replace(kind, found, resource)

    def _create(self, kind: str, resource: Resource) -> str:
        """Create a resource, or take over the one that is in its place; return its id."""
        uuid = resource["externalId"]
        try:
            return self._there.create(kind, resource)
        except Problem as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise
            found = self._there.find(kind, uuid)
            if found is None and self._free(kind, resource):
                return self._there.create(kind, resource)
            found = found or self._namesake(kind, resource)
            if found is None:
                raise
            self._there.replace(kind, found, resource)
            return found

    def _take_away(self, kind: str, uuid: str) -> None:
        found = self._there.find(kind, uuid)
        if found is None:
            return
        if kind == USERS and self._remove == "deactivate":
            self._there.deactivate(kind, found)
        else:
            self._there.delete(kind, uuid, found)

    # --- names

    def _free(self, kind: str, resource: Resource) -> bool:
        """Bring another resource with the same name up to date; return whether that frees the name.

        Changes of different entries come in any order: that which frees it may be still to come.
        """
        name = resource.get(_NAMES[kind])
        holder = self._there.having(kind, _NAMES[kind], name) if name else None
        uuid = None if holder is None else _uuid(holder.get("externalId"))
        if uuid is None or str(uuid) in self._freeing or str(uuid) == resource["externalId"]:
            return False
        if next(self._log.history(uuid), None) is None:  # it is somebody else's
            return False
        entry = self._log.entry(uuid, self._newest)
        if entry is None or self._kind(entry.attrs) != kind:
            self._take_away(kind, str(uuid))
            return kind == GROUPS or self._remove == "delete"
        self._freeing.add(resource["externalId"])
        try:
            self._put(kind, str(uuid), entry.attrs)
        except Problem as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise
            return False
        finally:
            self._freeing.discard(resource["externalId"])
        return resource_of(kind, "", entry.attrs, self._mappers[kind]).get(_NAMES[kind]) != name

    def _namesake(self, kind: str, resource: Resource) -> Optional[str]:
        name = _NAMES[kind]
        if not self._adopt or not resource.get(name):
            return None
        return self._there.search(kind, resource["externalId"], name, resource[name])

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
        entry = self._entry(value)
        kind = None if entry is None else self._kind(entry.attrs)
        if entry is None or kind is None:
            return None
        uuid = str(entry.uuid)
        found = self._there.find(kind, uuid)
        if found is None:
            found = self._create(kind, resource_of(kind, uuid, entry.attrs, self._mappers[kind]))
        return kind, found

    def _entry(self, value: bytes) -> Optional[Entry]:
        """Return the entry with a DN."""
        try:
            record = self._store.at(self._store.key(value.decode()))
        except ValueError:  # no DN
            return None
        return None if record is None else self._log.entry(UUID(bytes=record.uuid), self._newest)


def _uuid(value: object) -> Optional[UUID]:
    try:
        return UUID(str(value))
    except ValueError:
        return None
