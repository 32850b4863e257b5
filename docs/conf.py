# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx: how the documentation is built."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

project = "syncrepl_client"
author = "The syncrepl_client authors"
copyright = "the syncrepl_client authors, CC BY-SA 4.0"  # noqa: A001 - Sphinx's name

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "from_code"]
html_extra_path = ["_extra"]  # the schemas of events
exclude_patterns = ["_ext", "_extra", "performance"]  # included

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True

highlight_language = "none"  # of what names none: output of commands

html_theme = "furo"
pygments_dark_style = "github-dark"  # the default underlines names
html_title = "syncrepl_client"
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
html_copy_source = False
html_show_sourcelink = False
