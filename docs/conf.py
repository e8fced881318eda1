"""Settings of the documentation; `make docs` builds it, and every warning is an error."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "bulklmm_dask"
author = "The bulklmm_dask developers"
copyright = author
release = version_of("bulklmm-dask")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "myst_nb",  # MyST's Markdown, and notebooks
    "commands",  # this and the next two are in _ext
    "mathml",
    "tables",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
smartquotes = False  # options are --long, in running text too
nitpicky = True

# Pages are Markdown; formulas stand between dollars.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# Notebooks are shown as they are: `make test` executes them.
nb_execution_mode = "off"
nb_merge_streams = True

# The API reference comes from NumPy docstrings. A name in single backticks becomes a link where
# it is a public name, and stays emphasis where it is an argument.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # types and shapes stand in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
default_role = "autolink"
nitpick_ignore = [("py:obj", "scipy.stats.false_discovery_control")]
toc_object_entries = False
add_module_names = False

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "bulklmm_dask"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
html_sidebars = {"index": [], "getting_started": []}
html_theme_options = {
    "logo": {"text": "bulklmm_dask"},
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "use_edit_page_button": False,
}
