# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Mapping

CB_USER: int
CB_AUTHNAME: int
CB_LANGUAGE: int
CB_PASS: int
CB_ECHOPROMPT: int
CB_NOECHOPROMPT: int
CB_GETREALM: int

class sasl:
    def __init__(self, cb_value_dict: Mapping[int, str | bytes], mech: str) -> None: ...

class cram_md5(sasl):
    def __init__(self, authc_id: str, password: str, authz_id: str = ...) -> None: ...

class digest_md5(sasl):
    def __init__(self, authc_id: str, password: str, authz_id: str = ...) -> None: ...

class gssapi(sasl):
    def __init__(self, authz_id: str = ...) -> None: ...

class external(sasl):
    def __init__(self, authz_id: str = ...) -> None: ...
