# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

class ExtendedRequest:
    requestName: str
    requestValue: bytes | None
    def __init__(self, requestName: str, requestValue: bytes | None) -> None: ...
    def encodedRequestValue(self) -> bytes | None: ...

class ExtendedResponse:
    responseName: str | None
    responseValue: Any
    def __init__(self, responseName: str | None, encodedResponseValue: bytes | None) -> None: ...
    def decodeResponseValue(self, value: bytes | None) -> Any: ...
