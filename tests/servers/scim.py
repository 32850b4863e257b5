# SPDX-License-Identifier: BSD-3-Clause
"""A SCIM service in memory, which has every resource checked by scim2-models."""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Callable, NamedTuple
from urllib.parse import parse_qs, urlsplit

from scim2_models import Context, EnterpriseUser, Error, Group, ListResponse, PatchOp, User

from syncrepl_client.testing.certificates import Certificates
from tests.servers.receiver import speak_tls

TOKEN = "token1234"
MODELS: dict[str, Any] = {"Users": User[EnterpriseUser], "Groups": Group}
_FILTER = re.compile(r'(\w+) eq ("(?:[^"\\]|\\.)*")')


class Request(NamedTuple):
    """A request; *id* is that of the message that it was made for."""

    method: str
    path: str
    body: dict[str, Any]
    id: str


class SCIMService:
    """The service.

    *reply* may answer in its place: a status with headers, None for no answer, or "" for its own.
    """

    def __init__(
        self, *, knows_filters: bool = True, certificates: Certificates | None = None
    ) -> None:
        self.resources: dict[str, dict[str, dict[str, Any]]] = {"Users": {}, "Groups": {}}
        self.requests: list[Request] = []
        self.reply: Callable[[Request], tuple[int, dict[str, str]] | str | None] = lambda _: ""
        self.lost = False
        self.token = TOKEN
        self.unique = "userName"
        self._knows_filters = knows_filters
        self._certificates = certificates
        self._lock = threading.Lock()
        self._port = self._number = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        scheme = "http" if self._certificates is None else "https"
        return f"{scheme}://localhost:{self._port}/scim/v2"

    @property
    def written(self) -> list[str]:
        """The ids of messages for which something was written."""
        return [request.id for request in self.requests if request.method != "GET"]

    def by_external_id(self, kind: str) -> dict[str, dict[str, Any]]:
        found = {each["externalId"]: each for each in self.resources[kind].values()}
        assert len(found) == len(self.resources[kind]), "two resources of one entry"
        return found

    def __enter__(self) -> SCIMService:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        if self._certificates is not None:
            speak_tls(self._server, self._certificates)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join()
            server.server_close()

    # --- what it does

    def handle(self, request: Request, token: str) -> tuple[int, dict[str, str], Any] | None:
        with self._lock:
            if token != f"Bearer {self.token}":
                return 401, {}, error(401)
            reply = self.reply(request)
            if not isinstance(reply, str):
                return None if reply is None else (*reply, error(reply[0], "invalidValue"))
            status, answer = self._handle(request)
            if status < 300:
                self.requests.append(request)
            return status, {}, answer

    def _handle(self, request: Request) -> tuple[int, Any]:
        where = urlsplit(request.path)
        kind, _, number = where.path.removeprefix("/scim/v2/").partition("/")
        table = self.resources[kind]
        if number and number not in table:
            return 404, error(404)
        if request.method == "GET":
            return 200, self._search(kind, parse_qs(where.query)["filter"][0])
        if request.method == "DELETE":
            del table[number]
            return 204, None
        if request.method == "PATCH":
            return self._patch(table[number], request.body)
        if request.method == "PUT":
            assert request.body["id"] == number
        context = Context.RESOURCE_CREATION_REQUEST  # a replacement has the same members
        checked = MODELS[kind].model_validate(request.body, scim_ctx=context)
        resource = checked.model_dump(mode="json", by_alias=True, exclude_none=True)
        if self._is_taken(table, resource, number):
            return 409, error(409, "uniqueness")
        if not number:
            self._number += 1
            number = f"n{self._number}"
        table[number] = {**resource, "id": number}
        return (200 if request.method == "PUT" else 201), table[number]

    def _is_taken(self, table: Any, resource: dict[str, Any], number: str) -> bool:
        name = resource.get(self.unique)
        others = (each for each in table.values() if each["id"] != number)
        return name is not None and any(each.get(self.unique) == name for each in others)

    def _search(self, kind: str, text: str) -> Any:
        found = _FILTER.fullmatch(text)
        assert found, text
        name, value = found[1], json.loads(found[2])
        resources = list(self.resources[kind].values())
        if self._knows_filters:
            resources = [each for each in resources if each.get(name) == value]
        response: Any = ListResponse
        answer = response[MODELS[kind]](
            total_results=len(resources), items_per_page=len(resources), start_index=1,
            resources=[MODELS[kind].model_validate(each) for each in resources],
        )  # fmt: skip
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)

    def _patch(self, resource: dict[str, Any], body: dict[str, Any]) -> tuple[int, Any]:
        operations: Any = PatchOp
        context = Context.RESOURCE_PATCH_REQUEST
        patch = operations[MODELS["Users"]].model_validate(body, scim_ctx=context)
        assert [each.path for each in patch.operations or ()] == ["active"]
        resource["active"] = body["Operations"][0]["value"]
        return 204, None


def error(status: int, kind: str | None = None) -> Any:
    found = Error(status=status, scim_type=kind, detail="mail is ada@example.com")
    return found.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let others than clients that were killed, or trust nobody, be seen."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(service: SCIMService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("content-length", 0))
            data = self.rfile.read(size)
            if len(data) < size:
                return  # the client was killed
            body = json.loads(data or "{}")
            request = Request(self.command, self.path, body, self.headers.get("x-message", ""))
            answer = service.handle(request, self.headers["authorization"])
            if answer is None or service.lost:
                self.close_connection = True
                return
            status, headers, content = answer
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            headers = {**headers, "content-type": "application/scim+json"}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            """Be silent."""

    return Handler
