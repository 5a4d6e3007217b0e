"""The documentation site: ``sphinx-build docs docs/_build`` in an environment with the extra ``docs``."""

import sys
import warnings
from pathlib import Path

import cellsim

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from quick_report import quick_report  # noqa: E402

project, author = "cellsim", "the cellsim authors"
release = version = cellsim.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "gallery/**", "auto_gallery/*.ipynb", "auto_gallery/*.py"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_heading_anchors = 3
# pages of the sources (answers.md and others) name files of the tree, which the site does not hold
suppress_warnings = ["myst.xref_missing", "config.cache"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "abort_on_example_error": True,
}
warnings.filterwarnings("ignore", category=UserWarning, module="cellsim")


def setup(app):
    """The scripts of the gallery read a folder of results, made once before the first of them runs."""
    app.connect("builder-inited", lambda _: quick_report(HERE / "gallery/report"), priority=1)
