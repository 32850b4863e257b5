# SPDX-License-Identifier: BSD-3-Clause
"""Follow an LDAP directory: content synchronization (syncrepl, RFC 4533) made easy.

Subclass :class:`~syncrepl_client.callbacks.BaseCallback`, hand it to :class:`Syncrepl` with an
LDAP URL and a data path, and call ``poll()``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import callbacks, exceptions
from .backoff import Backoff
from .changes import Change, ChangeKind, Phase
from .client import Syncrepl
from .delivery import RetryCallback
from .modes import SyncreplMode
from .network.credentials import PasswordFile, PasswordVariable

if TYPE_CHECKING:
    from .asynchronous import AsyncSyncrepl
    from .differences import OPERATIONAL, AttributeChange, AttributeChangeKind, diff
    from .formats import JSONLinesCallback, LDIFCallback
    from .stats import Stats
    from .text import Text
    from .together import run_all
    from .verification import Difference, DifferenceKind

__all__ = [
    "OPERATIONAL",
    "AsyncSyncrepl",
    "AttributeChange",
    "AttributeChangeKind",
    "Backoff",
    "Change",
    "ChangeKind",
    "Difference",
    "DifferenceKind",
    "JSONLinesCallback",
    "LDIFCallback",
    "PasswordFile",
    "PasswordVariable",
    "Phase",
    "RetryCallback",
    "Stats",
    "Syncrepl",
    "SyncreplMode",
    "Text",
    "callbacks",
    "diff",
    "exceptions",
    "run_all",
]

_LATER = {  # few programs use these, and import takes its time
    "OPERATIONAL": "differences",
    "AsyncSyncrepl": "asynchronous",
    "AttributeChange": "differences",
    "AttributeChangeKind": "differences",
    "Difference": "verification",
    "DifferenceKind": "verification",
    "JSONLinesCallback": "formats",
    "LDIFCallback": "formats",
    "Stats": "stats",
    "Text": "text",
    "diff": "differences",
    "run_all": "together",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)
