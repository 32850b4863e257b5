# SPDX-License-Identifier: BSD-3-Clause
"""The requests to a SCIM service (RFC 7644), and what is known of its resources."""

import json
import time
from http import HTTPStatus
from typing import Any, Optional

import httpx

from .base import Answer
from .httpanswers import AWAY, NOT_REFUSED, retry_after
from .scimmapping import Resource

MEDIA_TYPE = "application/scim+json"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MANY = 50_000
"""How many ids of the service are kept in memory."""
_BUDGET = 6
"""How many times *timeout* a wave may take, in all."""


class Problem(Exception):
    """A request was not successful.

    Attributes:
        answer: the answer to the message on its way.
        status: the HTTP status; 0 if there is none.
        away: whether another message would get the same.
    """

    def __init__(self, answer: Answer, status: int = 0, *, away: bool = False) -> None:
        """Initialize from the attributes."""
        self.answer = answer
        self.status = status
        self.away = away


class Service:
    """A SCIM service.  Every method may raise :class:`Problem`.

    Attributes:
        client: the HTTP client.
    """

    def __init__(self, base: str, client: httpx.Client, timeout: float) -> None:
        """Initialize; nothing is sent."""
        self.client = client
        self._base = base
        self._timeout = timeout
        self._ids: dict[tuple[str, str], str] = {}
        self._deadline = 0.0

    @property
    def knows_ids(self) -> bool:
        """Whether there are ids from earlier answers."""
        return bool(self._ids)

    def begin(self, token: str) -> None:
        """Prepare for a wave."""
        self._deadline = time.monotonic() + _BUDGET * self._timeout
        self.client.headers["authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    # --- ids

    def find(self, kind: str, uuid: str) -> Optional[str]:
        """Return the id of the resource of an entry; None if there is none."""
        return self._ids.get((kind, uuid)) or self.search(kind, uuid, "externalId", uuid)

    def search(self, kind: str, uuid: str, name: str, value: str) -> Optional[str]:
        """Return the id of the resource with that value, which is that of the entry from now on."""
        found = self.having(kind, name, value)
        return None if found is None else self._remember(kind, uuid, str(found["id"]))

    def having(self, kind: str, name: str, value: str) -> Optional[Resource]:
        """Return the resource with that value; None if there is none."""
        query = {"filter": f"{name} eq {json.dumps(value)}"}
        answer = self._send("GET", kind, params=query) or {}
        for each in answer.get("Resources") or ():
            # A service that knows no filters returns others as well.
            if str(each.get(name, "")).casefold() == value.casefold() and each.get("id"):
                return dict(each)
        return None

    def forget(self) -> None:
        """Ask for all ids again: one may be of a resource that somebody has deleted."""
        self._ids.clear()

    def _remember(self, kind: str, uuid: str, resource_id: str) -> str:
        if len(self._ids) >= _MANY:
            self._ids.clear()
        self._ids[kind, uuid] = resource_id
        return resource_id

    # --- resources

    def create(self, kind: str, resource: Resource) -> str:
        """Create a resource; return its id."""
        uuid = resource["externalId"]
        made = self._send("POST", kind, resource) or {}
        if made.get("id"):
            return self._remember(kind, uuid, str(made["id"]))
        return self.search(kind, uuid, "externalId", uuid) or ""

    def replace(self, kind: str, resource_id: str, resource: Resource) -> bool:
        """Replace a resource; return False if it is not there."""
        body = {**resource, "id": resource_id}
        replaced = self._send("PUT", f"{kind}/{resource_id}", body, missing=True)
        if replaced is None:
            self._ids.pop((kind, resource["externalId"]), None)
        return replaced is not None

    def deactivate(self, kind: str, resource_id: str) -> None:
        """Make a user inactive, if it is there."""
        operation = {"op": "replace", "path": "active", "value": False}
        body = {"schemas": [_PATCH], "Operations": [operation]}
        self._send("PATCH", f"{kind}/{resource_id}", body, missing=True)

    def delete(self, kind: str, uuid: str, resource_id: str) -> None:
        """Delete the resource of an entry, if it is there."""
        self._send("DELETE", f"{kind}/{resource_id}", missing=True)
        self._ids.pop((kind, uuid), None)

    # --- requests

    def _send(
        self, method: str, path: str, body: Optional[Resource] = None, *, missing: bool = False,
        params: Optional[dict[str, str]] = None,
    ) -> Optional[dict[str, Any]]:  # fmt: skip
        """Send a request, and return the answer; None if *missing* is allowed, and it is missing.

        Raises:
            Problem: it was not successful.
        """
        if time.monotonic() > self._deadline:
            raise Problem(Answer.failed("the service is slow"), away=True)
        content = None if body is None else json.dumps(body).encode()
        headers = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE}
        try:
            response = self.client.request(
                method, f"{self._base}/{path}", content=content, headers=headers, params=params
            )
        except httpx.HTTPError as error:
            text = str(error) or type(error).__name__
            raise Problem(Answer.failed(text), away=True) from error
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


def _problem(method: str, path: str, response: httpx.Response) -> Problem:
    code = response.status_code
    kind = _object(response).get("scimType")
    reason = f"HTTP status {code} to {method} {path.partition('/')[0]}"
    if isinstance(kind, str) and kind.isascii() and kind.isalpha():  # RFC 7644, 3.12
        reason = f"{reason} ({kind[:30]})"
    if response.is_client_error and code not in NOT_REFUSED:
        return Problem(Answer.refused(reason), code)
    seconds = retry_after(response.headers.get("retry-after", ""))
    return Problem(Answer.failed(reason, seconds), code, away=code in AWAY)
