# SPDX-License-Identifier: BSD-3-Clause
from ldap.controls import ResponseControl

class PasswordPolicyControl(ResponseControl):
    timeBeforeExpiration: int | None
    graceAuthNsRemaining: int | None
    error: int | None
    def __init__(self, criticality: bool = ...) -> None: ...
