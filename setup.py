# SPDX-License-Identifier: CC0-1.0
"""For tools that look for setup.py. All there is to know is in pyproject.toml."""

from setuptools import setup

setup()
