# SPDX-License-Identifier: BSD-3-Clause
"""Is a server fit to be followed?  What is not gets an advice."""

from .advice import Advice
from .examination import examine
from .findings import Finding, Verdict

__all__ = ["Advice", "Finding", "Verdict", "examine"]
