# SPDX-License-Identifier: BSD-3-Clause
"""Content synchronization (syncrepl, RFC 4533): follow the result of an LDAP search.

Subclass :class:`BaseCallback`, pass it to :class:`Syncrepl` with an LDAP URL and a data path, and
call ``poll()``.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import callbacks, consumer, doctor, exceptions, formats, service, sinks, store
    from .asynchronous import AsyncSyncrepl
    from .callbacks import BaseCallback
    from .changelog import Changelog, Keep
    from .changes import Change, ChangeKind, Phase
    from .client import Syncrepl
    from .engine.callbackretry import RetryCallback
    from .engine.retry import retriable
    from .engine.stats import Stats
    from .engine.verification import Difference, DifferenceKind
    from .entries.attributes import Attributes
    from .entries.differences import OPERATIONAL, AttributeChange, AttributeChangeKind, diff
    from .entries.dn import key as dn_key
    from .entries.text import Text
    from .formats import JSONLinesCallback, LDIFCallback
    from .modes import SyncreplMode
    from .network.credentials import PasswordFile, PasswordVariable
    from .protocol.unreported import DERIVED
    from .together import run_all
    from .waiting.backoff import Backoff

__all__ = [
    "DERIVED",
    "OPERATIONAL",
    "AsyncSyncrepl",
    "AttributeChange",
    "AttributeChangeKind",
    "Attributes",
    "Backoff",
    "BaseCallback",
    "Change",
    "ChangeKind",
    "Changelog",
    "Difference",
    "DifferenceKind",
    "JSONLinesCallback",
    "Keep",
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
    "consumer",
    "diff",
    "dn_key",
    "doctor",
    "exceptions",
    "formats",
    "retriable",
    "run_all",
    "service",
    "sinks",
    "store",
]

# Names are imported when they are first used: what needs an exception or a callback only does not
# wait for the rest.
_WHERE = {
    "DERIVED": "protocol.unreported:DERIVED",
    "OPERATIONAL": "entries.differences:OPERATIONAL",
    "AsyncSyncrepl": "asynchronous:AsyncSyncrepl",
    "AttributeChange": "entries.differences:AttributeChange",
    "AttributeChangeKind": "entries.differences:AttributeChangeKind",
    "Attributes": "entries.attributes:Attributes",
    "Backoff": "waiting.backoff:Backoff",
    "BaseCallback": "callbacks:BaseCallback",
    "Change": "changes:Change",
    "ChangeKind": "changes:ChangeKind",
    "Changelog": "changelog:Changelog",
    "Difference": "engine.verification:Difference",
    "DifferenceKind": "engine.verification:DifferenceKind",
    "JSONLinesCallback": "formats:JSONLinesCallback",
    "Keep": "changelog:Keep",
    "LDIFCallback": "formats:LDIFCallback",
    "PasswordFile": "network.credentials:PasswordFile",
    "PasswordVariable": "network.credentials:PasswordVariable",
    "Phase": "changes:Phase",
    "RetryCallback": "engine.callbackretry:RetryCallback",
    "Stats": "engine.stats:Stats",
    "Syncrepl": "client:Syncrepl",
    "SyncreplMode": "modes:SyncreplMode",
    "Text": "entries.text:Text",
    "callbacks": "callbacks",
    "consumer": "consumer",
    "diff": "entries.differences:diff",
    "dn_key": "entries.dn:key",
    "doctor": "doctor",
    "exceptions": "exceptions",
    "formats": "formats",
    "retriable": "engine.retry:retriable",
    "run_all": "together:run_all",
    "service": "service",
    "sinks": "sinks",
    "store": "store",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    value = import_module(f".{module}", __name__)
    globals()[name] = getattr(value, attribute) if attribute else value
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _alias(name: str, target: str) -> ModuleType:
    """Return a module that has the attributes of the module *target*, which it imports on use."""

    def look_up(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(import_module(f".{target}", __name__), attribute)

    module = ModuleType(f"{__name__}.{name}", f"Another name of :mod:`{__name__}.{target}`.")
    vars(module)["__getattr__"] = look_up
    return module


# Modules that the documentation once named; a program may import them under these names.
for _name, _target in (
    ("backoff", "waiting.backoff"),
    ("delivery", "engine.callbackretry"),
    ("differences", "entries.differences"),
    ("dn", "entries.dn"),
    ("retry", "engine.retry"),
    ("verification", "engine.verification"),
):
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _alias(_name, _target)
