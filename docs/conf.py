"""Settings of the documentation: ``make docs`` builds it, with warnings as errors and every notebook executed."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent), str(HERE.parent / "src")]
os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:3], os.environ.get("PYTHONPATH", "")])  # for the notebooks
os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks this small gain nothing from more threads

import pellucid.typing  # noqa: E402  (found on the path above)

project = "Pellucid"
author = "The authors of Pellucid"
copyright = author  # noqa: A001  (Sphinx's name)
version = release = pellucid.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
    "mathml",
    "method_table",
]
exclude_patterns = ["_build", "_ext", "_static"]

html_theme = "furo"
html_title = "Pellucid"
html_static_path = ["_static"]
html_css_files = ["pellucid.css"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []
math_renderer = html_math_renderer = "mathml"  # MathML that browsers read: nothing is loaded from another host

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # the outputs of each build are those of this version
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 1), ("html", "image/png", 2)]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autoclass_content = "both"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name, value in vars(pellucid.typing).items() if name[0].isupper() and value}
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
add_module_names = False
python_use_unqualified_type_names = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def with_plain_names(_app, _what, _name, _target, _options, signature, returned):
    """Write aliases of types by their names also inside of other types."""

    def plain(text):
        return text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)|~(?:[A-Za-z_]\w*\.)+", r"\1", text)

    return plain(signature), plain(returned)


def setup(app):
    app.connect("autodoc-process-signature", with_plain_names)
