# SPDX-License-Identifier: BSD-3-Clause
"""Sinks: other systems that get each change, read from the log of changes by a relay."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import Answer, Message, Outcome, Sink
from .relay import Relay

if TYPE_CHECKING:
    from .webhook import Webhook

__all__ = ["Answer", "Message", "Outcome", "Relay", "Sink", "Webhook"]

_EXTRAS = {"Webhook": ("webhook", "httpx")}
"""Each sink's module, which is also the name of its extra, and the package that it needs."""


def __getattr__(name: str) -> Any:
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extra, package = _EXTRAS[name]
    try:
        return getattr(import_module(f".{extra}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{name} needs {package}, which is not installed: "
            f"pip install 'syncrepl_client[{extra}]'",
            name=package,
        ) from error
