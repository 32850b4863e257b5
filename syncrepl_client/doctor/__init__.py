# SPDX-License-Identifier: BSD-3-Clause
"""Diagnosis: whether a server can be followed, and what to do if not."""

from .advice import Advice
from .examination import examine
from .findings import Finding, Verdict

__all__ = ["Advice", "Finding", "Verdict", "examine"]
