# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx: how the documentation is built."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

project = "syncrepl_client"
author = "The syncrepl_client authors"
copyright = "the syncrepl_client authors, CC BY-SA 4.0"  # noqa: A001 - Sphinx's name

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_code"]
exclude_patterns = ["_ext", "performance"]  # included

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True

html_theme = "alabaster"
html_theme_options = {
    "description": "Follow an LDAP directory",
    "fixed_sidebar": True,
    "page_width": "70em",
}
html_copy_source = False
html_show_sourcelink = False
