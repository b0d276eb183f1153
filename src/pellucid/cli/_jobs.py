"""The jobs of the command line, imported together when one runs."""

from pellucid.cli._compare import compare_data
from pellucid.cli._explain import Options, explain_data
from pellucid.cli._insights import Shown, show_data

__all__ = ["Options", "Shown", "compare_data", "explain_data", "show_data"]
