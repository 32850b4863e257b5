# SPDX-License-Identifier: BSD-3-Clause
"""Follow an LDAP directory: content synchronization (syncrepl, RFC 4533) made easy.

Subclass :class:`~syncrepl_client.callbacks.BaseCallback`, hand it to :class:`Syncrepl` with an
LDAP URL and a data path, and call ``poll()``.
"""

from . import callbacks, exceptions
from .backoff import Backoff
from .changes import Change, ChangeKind, Phase
from .client import Syncrepl
from .credentials import PasswordFile, PasswordVariable
from .delivery import RetryCallback
from .modes import SyncreplMode
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
