"""Labelled results; no torch."""

from tvlens.results.base import Result, figure
from tvlens.results.history import History

__all__ = ["History", "Result", "figure"]
