# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Sequence
from typing import Any

class LDIFWriter:
    _output_file: Any
    def __init__(
        self,
        output_file: Any,
        base64_attrs: Sequence[str] | None = ...,
        cols: int = ...,
        line_sep: str = ...,
    ) -> None: ...
    def _unparseAttrTypeandValue(self, attr_type: str, attr_value: bytes) -> None: ...
    def unparse(self, dn: str, record: dict[str, list[bytes]] | list[Any]) -> None: ...

class LDIFRecordList:
    all_modify_changes: list[Any]
    all_records: list[Any]
    def __init__(self, input_file: Any) -> None: ...
    def parse(self) -> None: ...
    def parse_change_records(self) -> None: ...
