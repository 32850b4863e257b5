# SPDX-License-Identifier: BSD-3-Clause
"""Formats for other programs: LDIF (RFC 2849) and JSON lines."""

from .events import to_json as event_to_json
from .jsonlines import JSONLinesCallback, to_json
from .ldifcallback import LDIFCallback

__all__ = ["JSONLinesCallback", "LDIFCallback", "event_to_json", "to_json"]
