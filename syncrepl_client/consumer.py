# SPDX-License-Identifier: BSD-3-Clause
"""Content synchronization for programs that keep cookie and entries themselves."""

from .network.consumer import SyncreplConsumer

__all__ = ["SyncreplConsumer"]
