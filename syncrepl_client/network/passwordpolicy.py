# SPDX-License-Identifier: BSD-3-Clause
"""What the password policy of a server says at a bind (draft-behera-ldap-password-policy)."""

from collections.abc import Sequence
from typing import Optional

import ldap
from ldap.controls import RequestControl

from ..protocol.wire import RawControl, details_of

OID = "1.3.6.1.4.1.42.2.27.8.5.1"
REQUEST = RequestControl(OID, False)
"""Asks for it; a server that does not know the control ignores it."""

_EXPIRED, _LOCKED, _MUST_CHANGE = 0, 1, 2
_ERRORS = {
    _EXPIRED: "the password of {who} has expired: have a new one set, or the policy changed",
    _LOCKED: "the account {who} is locked: have it unlocked, and see who used a wrong password",
    _MUST_CHANGE: "the password of {who} must be changed before the server lets it do anything: "
    "change it (ldappasswd), and give the new one to this program",
}


Policy = tuple[Optional[str], Optional[str]]
"""What the server said, for people: why the password can't be used, and what will be in the way
soon; None for nothing."""


def read(controls: Sequence[RawControl], who: str) -> Policy:
    """Return what the response controls of a bind as *who* say."""
    value = next((value for oid, _, value in controls if oid == OID), None)
    if not value:
        return None, None
    from ldap.controls.ppolicy import PasswordPolicyControl  # with pyasn1: it takes its time

    control = PasswordPolicyControl()
    control.decodeControlValue(value)
    if control.error in _ERRORS:
        return _ERRORS[control.error].format(who=who), None
    if control.graceAuthNsRemaining is not None:
        return None, (
            f"the password of {who} has expired, and {control.graceAuthNsRemaining} more binds "
            "with it are allowed: have a new one set"
        )
    if control.timeBeforeExpiration is not None:
        return None, f"the password of {who} expires in {control.timeBeforeExpiration} s"
    return None, None


def explain(error: ldap.LDAPError, who: str) -> None:
    """Add to the error of a bind what its response control says."""
    details = details_of(error)
    why, _ = read(details.get("ctrls") or (), who)
    if why is not None:
        details["info"] = "; ".join(filter(None, (details.get("info"), why)))
        error.password_policy = why  # type: ignore[attr-defined]


def refusal(why: str) -> ldap.LDAPError:
    """Return the error of a bind that succeeded, and that nothing can be done with."""
    error = ldap.INSUFFICIENT_ACCESS({"desc": "Insufficient access", "info": why})
    error.password_policy = why  # type: ignore[attr-defined]
    return error


def is_final(error: Optional[BaseException]) -> bool:
    """Return True if another attempt with this password can only do harm."""
    return hasattr(error, "password_policy")
