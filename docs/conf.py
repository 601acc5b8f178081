"""The documentation site: ``make docs`` builds it without a network and fails on any warning."""

import re
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from sphinx.ext import autosummary
from sphinx_gallery.scrapers import figure_rst

import limbeck
from limbeck.displays import rendered

project, author, copyright = "limbeck", "The limbeck developers", "The limbeck developers"  # noqa: A001
version = release = limbeck.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",  # serves MathJax from the site itself
]
exclude_patterns = ["gallery", "generated/**/*.py", "generated/**/*.ipynb", "generated/**/*.json"]
templates_path = ["_templates"]
default_role = "autolink"  # `Span` in a docstring is a link where there is such a name
suppress_warnings = ["config.cache"]  # functions in sphinx_gallery_conf

# -- pages ----------------------------------------------------------------------------------------
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_theme = "pydata_sphinx_theme"
html_title = "limbeck"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_sidebars = {
    page: [] for page in ("index", "how-it-works", "temperature", "explore", "generated/errata/*")
}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}

# -- the reference --------------------------------------------------------------------------------
autosummary_generate = True
autosummary.WELL_KNOWN_ABBREVIATIONS = (*autosummary.WELL_KNOWN_ABBREVIATIONS, "Eq.")  # end no sentence
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say it, with shapes
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL06", "GL07", "PR02", "PR05", "PR06", "PR10", "RT02", "SS03", "SS04"}


def escape_bars(app, what, name, obj, options, lines):
    r"""Norms in docstrings, \|w\|, are no reStructuredText substitutions."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``)", line)
            lines[i] = "".join(p if p.startswith("``") else re.sub(r"(?<!\\)\|", r"\\|", p) for p in parts)


# -- the galleries --------------------------------------------------------------------------------
def bound_figures(block, block_vars, gallery_conf):
    """Show every figure that a block binds to a name: limbeck's are outside pyplot."""
    seen = block_vars["example_globals"].setdefault("__shown__", [])
    paths = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Figure) and not any(value is figure for figure in seen):
            path = Path(next(block_vars["image_path_iterator"]))
            path.write_bytes(rendered(value, "png"))
            seen.append(value)
            paths.append(str(path))
    return figure_rst(paths, gallery_conf["src_dir"])


def somewhere(gallery_conf, script_vars):
    """Examples write where they are told; here, where it is thrown away."""
    return [tempfile.mkdtemp(prefix="limbeck-docs-")]


sphinx_gallery_conf = {
    "examples_dirs": ["gallery/paper", "gallery/errata", "../examples"],
    "gallery_dirs": ["generated/paper", "generated/errata", "generated/examples"],
    "filename_pattern": r"/(plot_|audit_|buy_|certificates|plan_|select_|ship_)",
    "image_scrapers": (bound_figures,),
    "reset_modules": (),
    "reset_argv": somewhere,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,  # its page loads scripts from elsewhere
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
}


def skip_requests(app, what, name, obj, skip, options):
    """Leave out what scikit-learn generates for metadata routing: its pages are scikit-learn's."""
    return skip or re.fullmatch(r"set_\w+_request|get_metadata_routing", name) is not None


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
