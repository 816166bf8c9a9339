"""How Sphinx builds the documentation: `make docs`, then open docs/_build/html/index.html."""

import dataclasses
import enum
import inspect
import json
import os
import re
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import plotly
from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer, load_mime_renders
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

HERE = Path(__file__).parent
CHECKOUT = HERE.parent

# Notebooks run in processes of their own: the code of this checkout, one thread, no progress bars.
sys.path.insert(0, str(CHECKOUT))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"

project = "tvlens"
author = "the authors of tvlens"
version = release = version_of("tvlens")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

# Pages are Markdown that reads well on GitHub too.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]

nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "application/vnd.plotly.v1+json", 0)]

# Single backquotes in docstrings are links where they name something, and code elsewhere.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "tvlens"
html_static_path = ["_static"]
html_extra_path = ["_build/report/report.html"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"


class PlotlyFigures:
    """Draws the plotly figures of notebooks with the plotly.js that plotly ships, so offline."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Element] | None:
        """The element that figures.js finds and draws."""
        if data.mime_type != "application/vnd.plotly.v1+json":
            return None
        figure = json.dumps(data.content, separators=(",", ":")).replace("</", "<\\/")
        height = data.content.get("layout", {}).get("height", 450)
        html = (
            f'<div class="plotly-figure" style="min-height:{height}px">'
            f'<script type="application/json">{figure}</script></div>'
        )
        return [nodes.raw(text=html, format="html")]


load_mime_renders().append(PlotlyFigures)


def add_plotly(app: Sphinx, page: str, template: str, context: dict[str, Any], *_: Any) -> None:
    """Load the library (5 MB) on the pages that have figures, and on no other."""
    if 'class="plotly-figure"' in context.get("body", ""):
        app.add_js_file("plotly.min.js")
        app.add_js_file("figures.js")


def copy_plotly(app: Sphinx, error: Exception | None) -> None:
    """Put the library beside the pages."""
    if error is None:
        source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        shutil.copyfile(source, Path(app.outdir) / "_static" / "plotly.min.js")


LINK_UP = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#]+)[^)]*\)")


def unlink_files_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files of the checkout that are not in docs work on GitHub; here, their text does."""
    folder = Path(app.srcdir, page).parent

    def plain(match: re.Match[str]) -> str:
        target = (folder / match["target"]).resolve()
        outside = target.exists() and not target.is_relative_to(HERE)
        return f"`{match['text'].strip('`')}`" if outside else match[0]

    source[0] = LINK_UP.sub(plain, source[0])


def short_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Signatures that would say nothing, or what the members below say better."""
    if inspect.isclass(obj) and dataclasses.is_dataclass(obj):
        return f"({', '.join(field.name for field in dataclasses.fields(obj) if field.init)})", ""
    if inspect.isclass(obj) and (issubclass(obj, enum.Enum) or getattr(obj, "_is_protocol", False)):
        return "", ""
    return None


ROOMS = (
    *(".analysis", ".results", ".tasks", ".plots"),
    *(".training", ".models", ".prompts", ".interventions"),
)


def find_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Element | None:
    """A docstring names things as `import tvlens` does, whichever room it stands in."""
    target = node.get("reftarget", "").removesuffix("()")
    if target.startswith("tvlens."):
        target = target.rpartition(".")[2]
    for room in ("", *ROOMS):
        name = f"tvlens{room}.{target}"
        if node.get("refdomain") == "py" and name in env.domains.python_domain.objects:
            return env.domains.python_domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", name, node, text
            )
    return None


def keep_sentences(app: Sphinx) -> None:
    """Napoleon takes `Width: of what` of an attribute for a type and a text; here it is a text."""
    kept: dict[str, list[str]] = {}

    def before(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        kept[name] = list(lines)

    def after(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        if what in ("attribute", "data", "property"):
            lines[:] = kept[name]

    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", unlink_files_outside)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("missing-reference", find_elsewhere)
    keep_sentences(app)
    app.connect("html-page-context", add_plotly)
    app.connect("build-finished", copy_plotly)
