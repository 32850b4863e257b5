# SPDX-License-Identifier: BSD-3-Clause
"""What may be missing outside CI."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from syncrepl_client.sinks.registry import SINKS


def may_miss(package: str) -> bool:
    """Whether a package is missing where it may: in CI it may not."""
    return find_spec(package) is None and not os.environ.get("CI")


def needs(package: str) -> pytest.MarkDecorator:
    """A mark for tests that are skipped without a package; in CI they fail."""
    return pytest.mark.skipif(may_miss(package), reason=f"{package} is not installed")


def needs_all(kind: str) -> pytest.MarkDecorator:
    """A mark for tests that are skipped without what a kind of sink imports."""
    missing = [package for package in SINKS[kind].packages if may_miss(package)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


needs_httpx = needs("httpx")
"""For tests of webhooks."""
