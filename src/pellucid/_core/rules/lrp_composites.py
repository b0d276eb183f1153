"""Composites: which rule which layer gets, as one frozen value that reads like a table.

A composite is a list of assignments, and the first that matches decides. A named composite of the
literature is a preset: a function that returns the list.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.checks import accept_choice, accept_text
from pellucid._core.rules.lrp_rules import AlphaBeta, Epsilon, Gamma, PropagationRule, ZBox, ZPlus
from pellucid.docstrings import accept_flag
from pellucid.errors import invalid_type

CONVOLUTION, DENSE, LAYER = "convolution", "dense", "layer"
NAMED_KINDS = (CONVOLUTION, DENSE, LAYER, "batch_norm", "normalisation", "pooling", "activation")


@dataclass(eq=False, slots=True)  # not frozen, which would triple the time to make one
class Place:
    """Where an operation runs, for assignments to match; never changed.

    Args:
        operation: Canonical name of the operation.
        kind: Its kind, in the words of `Assign`.
        modules: The modules it runs in, innermost first.
        name: Returns the name of one of them.
        reads_inputs: Tells whether its operand depends on the inputs through linear operations alone.
    """

    operation: str
    kind: str
    modules: tuple[torch.nn.Module, ...]
    name: Callable[[torch.nn.Module], str]
    reads_inputs: Callable[[], bool]


@dataclass(frozen=True)
class Assign:
    """One line of a composite: a rule, and the operations it is for.

    Args:
        rule: The rule.
        operation: A kind (``"convolution"``, ``"dense"``, ``"layer"`` for both, ``"batch_norm"``,
            ``"normalisation"``, ``"pooling"``, ``"activation"``), or a pattern for the operation's name such
            as ``"conv2d"`` or ``"addm*"``.
        module: A pattern for module names such as ``"features.*"``, or a module type; None is any place. For
            layers any module around the operation counts, for other kinds the innermost one.
        first: Only layers that depend on the inputs through linear operations alone.

    Example:
        >>> Assign(Epsilon(1e-3), "dense", module="classifier.*")
        Assign(dense in 'classifier.*' -> Epsilon(epsilon=0.001))
    """

    rule: PropagationRule
    operation: str = LAYER
    module: str | type | None = None
    first: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.rule, PropagationRule):
            raise invalid_type("rule", repr(self.rule), "it is no propagation rule", "a rule such as Epsilon()")
        accept_text("operation", self.operation, "it names operations")
        module: object = self.module
        if not isinstance(module, str | type | None):
            given = f"a {type(module).__name__}"
            raise invalid_type("module", given, "it tells which modules", "a pattern for names, a type, or None")
        accept_flag("first", self.first)

    def matches(self, place: Place) -> bool:
        """Tell whether this line is for an operation at a place."""
        if self.operation == LAYER:
            fits = place.kind in {CONVOLUTION, DENSE}
        elif self.operation in NAMED_KINDS:
            fits = place.kind == self.operation
        else:
            fits = fnmatch.fnmatchcase(place.operation, self.operation)
        return fits and self._is_at(place) and (not self.first or place.reads_inputs())

    def _is_at(self, place: Place) -> bool:
        if self.module is None:
            return True
        around = place.modules if place.kind in {CONVOLUTION, DENSE} else place.modules[:1]
        if isinstance(self.module, str):
            return any(fnmatch.fnmatchcase(place.name(module), self.module) for module in around)
        return any(isinstance(module, self.module) for module in around)

    def __repr__(self) -> str:
        """Return the line as text."""
        where = "" if self.module is None else f" in {getattr(self.module, '__name__', repr(self.module))}"
        return f"Assign({'first ' * self.first}{self.operation}{where} -> {self.rule!r})"


@dataclass(frozen=True)
class Composite:
    """Rules by kind of operation and by layer; the first line that matches decides.

    Layers in no line keep their own gradient (the z rule: epsilon 0). Activations pass relevance, sums and
    views split it by contributions, products of k signals give each 1/k, the scale of a normalisation is a
    constant, and max-pooling gives all to the largest.

    Args:
        name: How the certificate names it.
        lines: The assignments.
        softmax: ``"native"`` keeps the gradient of softmax; ``"stopped"`` makes its result a constant weight
            in products.

    Example:
        >>> EpsilonPlus()
        Composite('EpsilonPlus': convolution -> ZPlus(); dense -> Epsilon(epsilon=1e-06); softmax native)
    """

    name: str
    lines: tuple[Assign, ...] = ()
    softmax: str = "native"

    def __post_init__(self) -> None:
        accept_text("name", self.name, "the certificate names it")
        if not isinstance(self.lines, list | tuple) or not all(isinstance(line, Assign) for line in self.lines):
            given = f"a {type(self.lines).__name__} of other things"
            raise invalid_type("lines", given, "the first line that matches decides", "a tuple of Assign(rule, ...)")
        accept_choice("softmax", self.softmax, ("native", "stopped"), "it names no treatment")

    def rule_at(self, place: Place) -> PropagationRule | None:
        """Return the rule of the first line that matches, or None."""
        return next((line.rule for line in self.lines if line.matches(place)), None)

    def __repr__(self) -> str:
        """Return the table as text."""
        lines = [repr(line).removeprefix("Assign(").removesuffix(")") for line in self.lines]
        return f"Composite({self.name!r}: {'; '.join([*lines, f'softmax {self.softmax}'])})"


def EpsilonPlus(epsilon: float = 1e-6) -> Composite:  # noqa: N802 # the literature's name
    """Positive contributions in convolutions, epsilon in dense layers."""
    return Composite("EpsilonPlus", (Assign(ZPlus(), CONVOLUTION), Assign(Epsilon(epsilon), DENSE)))


def EpsilonAlpha2Beta1(epsilon: float = 1e-6) -> Composite:  # noqa: N802 # the literature's name
    """Alpha 2, beta 1 in convolutions, epsilon in dense layers."""
    return Composite("EpsilonAlpha2Beta1", (Assign(AlphaBeta(2.0, 1.0), CONVOLUTION), Assign(Epsilon(epsilon), DENSE)))


def EpsilonGammaBox(  # noqa: N802 # the literature's name
    low: float | Tensor, high: float | Tensor, epsilon: float = 1e-6, gamma: float = 0.25
) -> Composite:
    """The box rule in first convolutions, gamma in the others, epsilon in dense layers."""
    lines = (
        Assign(ZBox(low, high), CONVOLUTION, first=True),
        Assign(Gamma(gamma), CONVOLUTION),
        Assign(Epsilon(epsilon), DENSE),
    )
    return Composite("EpsilonGammaBox", lines)


def AttnLRP(epsilon: float = 1e-6) -> Composite:  # noqa: N802 # the literature's name
    """Epsilon in layers, and softmax by its own gradient: attention weights get half of each product."""
    return Composite("AttnLRP", (Assign(Epsilon(epsilon)),))


def CPLRP(epsilon: float = 1e-6) -> Composite:  # noqa: N802 # the literature's name
    """Epsilon in layers, and attention weights as constants: values get all relevance, which conserves it."""
    return Composite("CPLRP", (Assign(Epsilon(epsilon)),), softmax="stopped")
