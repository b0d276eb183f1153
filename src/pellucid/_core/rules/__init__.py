"""The operation-level rule engine: gradients of any PyTorch model with operations' gradients replaced by rules."""

from pellucid._core.rules.api import (
    NO_CHOICES,
    Choices,
    Gradients,
    Multipliers,
    deep_lift_gradients,
    modified_gradients,
)
from pellucid._core.rules.certificate import Certificate, OperationReport

__all__ = [
    "NO_CHOICES",
    "Certificate",
    "Choices",
    "Gradients",
    "Multipliers",
    "OperationReport",
    "deep_lift_gradients",
    "modified_gradients",
]
