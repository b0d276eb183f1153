"""Errors and warnings of Pellucid, and the one wording in which arguments are refused.

Every refusal says three things: what was given, why it cannot be used, and what to pass instead.
"""

from __future__ import annotations


class PellucidError(Exception):
    """Base of every error that Pellucid raises on its own account."""


class InvalidValueError(PellucidError, ValueError):
    """An argument has the right type but a value that cannot be used."""


class InvalidTypeError(PellucidError, TypeError):
    """An argument has a type that cannot be used, or a keyword is not known."""


class UnsupportedModelError(PellucidError, RuntimeError):
    """The model computes in a way for which the method has no right answer; the message names the remedy."""


class ContractError(PellucidError, AssertionError):
    """A method breaks a property that it promises (see ``pellucid.testing``).

    Attributes:
        property_name: the property.
        model: the model that shows it, in words; empty where the method raised an error of its own.
        difference: the largest difference found; None where no numbers are compared.
        tolerance: the largest one that passes; None likewise.
    """

    def __init__(
        self, message: str, *, property_name: str, model: str, difference: float | None, tolerance: float | None
    ) -> None:
        """Hold what the message says as values too."""
        super().__init__(message)
        self.property_name, self.model = property_name, model
        self.difference, self.tolerance = difference, tolerance


class PellucidWarning(UserWarning):
    """Base of every warning that Pellucid gives."""


class ConvergenceWarning(PellucidWarning):
    """A numerical integral or an iteration has not converged."""


class CompletenessWarning(PellucidWarning):
    """Attributions under rules do not sum to the difference of outputs; the message names the reason."""


class SamplingWarning(PellucidWarning):
    """An estimate from random samples is too noisy to be read value by value."""


class TrainingModeWarning(PellucidWarning):
    """The model is in training mode and holds modules that behave differently there."""


class ExpansionWarning(PellucidWarning):
    """Rows of the batch influence each other, so every sample needs a forward pass of its own."""


class UnusedInputWarning(PellucidWarning):
    """An input has no influence on the explained output."""


class CutGradientWarning(PellucidWarning):
    """An input has an influence on the explained output that no gradient shows, since the model cuts it off."""


class NonFiniteWarning(PellucidWarning):
    """A result holds NaN or infinite values."""


class AttackWarning(PellucidWarning):
    """An attack was weaker, or its result is other, than what was asked for; the message says why."""


def invalid_value(name: str, given: str, why: str, instead: str) -> InvalidValueError:
    """Build the error for an argument whose value cannot be used."""
    return InvalidValueError(_sentence(name, given, why, instead))


def invalid_type(name: str, given: str, why: str, instead: str) -> InvalidTypeError:
    """Build the error for an argument whose type cannot be used."""
    return InvalidTypeError(_sentence(name, given, why, instead))


def _sentence(name: str, given: str, why: str, instead: str) -> str:
    return f"{name} is {given}, but {why}. Pass {instead}."
