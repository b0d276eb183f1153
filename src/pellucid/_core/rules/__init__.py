"""The operation-level rule engine: gradients of any PyTorch model, with rules in place of operations' own."""

from pellucid._core.rules.api import (
    NO_CHOICES,
    Choices,
    Gradients,
    Multipliers,
    deep_lift_gradients,
    modified_gradients,
)
from pellucid._core.rules.certificate import Certificate, OperationReport
from pellucid._core.rules.guided import DECONVOLUTION, GUIDED
from pellucid._core.rules.lrp import Relevances, relevances
from pellucid._core.rules.registry import by_module, visible
from pellucid._core.rules.table import NATIVE, STOP, Occurrence, Rule, RuleTable

__all__ = [
    "DECONVOLUTION",
    "GUIDED",
    "NATIVE",
    "NO_CHOICES",
    "STOP",
    "Certificate",
    "Choices",
    "Gradients",
    "Multipliers",
    "Occurrence",
    "OperationReport",
    "Relevances",
    "Rule",
    "RuleTable",
    "by_module",
    "deep_lift_gradients",
    "modified_gradients",
    "relevances",
    "visible",
]
