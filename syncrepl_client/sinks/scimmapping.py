# SPDX-License-Identifier: BSD-3-Clause
"""LDAP entries as SCIM resources (RFC 7643): which are users and groups, and what they have."""

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Union

from ..entries.attributes import Attributes
from ..exceptions import ConfigurationError

USERS, GROUPS = "Users", "Groups"
"""The resource types by their endpoints."""
CORE = "urn:ietf:params:scim:schemas:core:2.0"
_SCHEMAS = {USERS: f"{CORE}:User", GROUPS: f"{CORE}:Group"}
_USER_CLASSES = {"person", "organizationalperson", "inetorgperson", "posixaccount", "user"}
_GROUP_CLASSES = {"groupofnames", "groupofuniquenames", "groupofmembers", "group"}
_PLURAL = {"emails", "phoneNumbers", "ims", "photos", "entitlements", "roles"}
"""Attributes of users that are lists of objects with a ``value``."""

Resource = dict[str, Any]
Mapper = Union[Mapping[str, str], Callable[[Attributes], Mapping[str, Any]]]
"""How a resource is made: LDAP attributes by SCIM paths, or a function."""

USER: Mapping[str, str] = {
    "userName": "uid",
    "displayName": "cn",
    "name.formatted": "cn",
    "name.familyName": "sn",
    "name.givenName": "givenName",
    "title": "title",
    "emails": "mail",
    "phoneNumbers": "telephoneNumber",
}
"""The default mapping of users."""
GROUP: Mapping[str, str] = {"displayName": "cn"}
"""The default mapping of groups, without their members."""


def kind_by_class(attrs: Attributes) -> Optional[str]:
    """Return whether an entry is a user or a group, by its objectClass; None if neither."""
    classes = {value.decode("utf-8", "replace").lower() for value in values(attrs, "objectClass")}
    if classes & _GROUP_CLASSES:
        return GROUPS
    return USERS if classes & _USER_CLASSES else None


def values(attrs: Attributes, name: str) -> Sequence[bytes]:
    """Return the values of an attribute, whose name may have another case."""
    found = attrs.get(name)
    if found is not None:
        return found
    return next((each for other, each in attrs.items() if other.lower() == name.lower()), ())


def check_mapper(name: str, mapper: object) -> None:
    """Check the argument *name*.

    Raises:
        ConfigurationError: it is no mapping of SCIM paths to LDAP attributes, and no function.
    """
    if callable(mapper):
        return
    if not isinstance(mapper, Mapping) or not all(
        type(each) is str and each for pair in mapper.items() for each in pair
    ):
        raise ConfigurationError(
            f"{name} is a mapping of SCIM attributes to LDAP attributes, or a function"
        )


def resource_of(kind: str, uuid: str, attrs: Attributes, mapper: Mapper) -> Resource:
    """Return the SCIM resource of an entry.

    Args:
        kind: :data:`USERS` or :data:`GROUPS`.
        uuid: the entryUUID.
        attrs: the attributes of the entry.
        mapper: how to make it.
    """
    made = dict(mapper(attrs)) if callable(mapper) else _mapped(attrs, mapper)
    extensions = [each for each in made if each.startswith("urn:")]
    defaults = {"active": True} if kind == USERS else {}
    return {
        **defaults,
        **made,
        "schemas": [_SCHEMAS[kind], *extensions],
        "externalId": uuid,
    }


def _mapped(attrs: Attributes, mapping: Mapping[str, str]) -> Resource:
    resource: Resource = {}
    for path, name in mapping.items():
        texts = [value.decode("utf-8", "replace") for value in values(attrs, name)]
        if not texts:
            continue
        *outer, last = _steps(path)
        place = resource
        for step in outer:
            place = place.setdefault(step, {})
        if last in _PLURAL:
            place[last] = [
                {"value": text, "primary": number == 0} for number, text in enumerate(texts)
            ]
        else:
            place[last] = texts[0]
    return resource


def _steps(path: str) -> list[str]:
    """Return the names along a path, the first of which may be the URN of an extension."""
    if path.startswith("urn:"):
        urn, _, rest = path.rpartition(":")
        return [urn, *rest.split(".")]
    return path.split(".")
