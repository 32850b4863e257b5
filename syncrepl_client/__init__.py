# SPDX-License-Identifier: BSD-3-Clause
"""Follow an LDAP directory: content synchronization (syncrepl, RFC 4533) made easy.

Subclass :class:`~syncrepl_client.callbacks.BaseCallback`, hand it to :class:`Syncrepl` with an
LDAP URL and a data path, and call ``poll()``.
"""

from typing import TYPE_CHECKING, Any

from . import callbacks, exceptions
from .backoff import Backoff
from .changes import Change, ChangeKind, Phase
from .client import Syncrepl
from .credentials import PasswordFile, PasswordVariable
from .delivery import RetryCallback
from .modes import SyncreplMode

if TYPE_CHECKING:
    from .verification import Difference, DifferenceKind

__all__ = [
    "Backoff",
    "Change",
    "ChangeKind",
    "Difference",
    "DifferenceKind",
    "PasswordFile",
    "PasswordVariable",
    "Phase",
    "RetryCallback",
    "Syncrepl",
    "SyncreplMode",
    "callbacks",
    "exceptions",
]


def __getattr__(name: str) -> Any:
    if name in ("Difference", "DifferenceKind"):  # few programs verify, and import takes its time
        from . import verification

        return getattr(verification, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
