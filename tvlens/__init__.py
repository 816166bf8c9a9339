"""Where does a transformer keep the task it has just inferred from its context, and how strongly?

`import tvlens as tvl` gives the nouns and verbs below; `tvlens.analysis` holds the questions and
`tvlens.plots` the figures.
"""

from importlib.metadata import version as _version

import lazy_loader

from tvlens.base.figures import figures_from

__version__ = _version("tvlens")

# The names are listed in __init__.pyi, and each is imported when it is first used: PyTorch and
# TransformerLens take seconds, which nobody should wait for who asks a script for --help.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _register_figures() -> None:
    import tvlens.plots  # noqa: F401


figures_from(_register_figures)
