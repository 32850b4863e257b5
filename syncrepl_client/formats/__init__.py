# SPDX-License-Identifier: BSD-3-Clause
"""What happened, in formats that other programs read: LDIF and JSON lines."""

from .jsonlines import JSONLinesCallback, to_json
from .ldifcallback import LDIFCallback

__all__ = ["JSONLinesCallback", "LDIFCallback", "to_json"]
