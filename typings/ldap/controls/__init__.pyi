# SPDX-License-Identifier: BSD-3-Clause
class RequestControl:
    controlType: str | None
    criticality: bool
    encodedControlValue: bytes | None
    def __init__(
        self,
        controlType: str | None = ...,
        criticality: bool = ...,
        encodedControlValue: bytes | None = ...,
    ) -> None: ...
    def encodeControlValue(self) -> bytes | None: ...

class ResponseControl:
    controlType: str | None
    criticality: bool
    encodedControlValue: bytes | None
    def __init__(self, controlType: str | None = ..., criticality: bool = ...) -> None: ...
    def decodeControlValue(self, encodedControlValue: bytes | None) -> None: ...
