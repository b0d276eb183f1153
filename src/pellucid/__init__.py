"""Pellucid explains what PyTorch models base their predictions on.

``pellucid.explain`` is the one-line door, ``pellucid.attr`` holds the methods under their established names,
``pellucid.robust`` attacks.
"""

from pellucid import attr, errors, metrics, robust
from pellucid._core.arguments import shared
from pellucid._core.output import select_output
from pellucid._core.progress import Step, watching
from pellucid._core.report import Notice, Report, recording
from pellucid.comparing import compare
from pellucid.comparison import Comparison
from pellucid.explaining import explain
from pellucid.explanation import Cost, Explanation, load
from pellucid.ids import EmbeddedInputs, embed
from pellucid.registry import MethodInfo, methods
from pellucid.rest import Rest, rest_of

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Cost",
    "EmbeddedInputs",
    "Explanation",
    "MethodInfo",
    "Notice",
    "Report",
    "Rest",
    "Step",
    "attr",
    "compare",
    "embed",
    "errors",
    "explain",
    "load",
    "methods",
    "metrics",
    "recording",
    "rest_of",
    "robust",
    "select_output",
    "shared",
    "watching",
]
