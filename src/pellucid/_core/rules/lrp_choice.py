"""Which rule an operation gets: the user's for its module, or the composite's.

Rules are configuration. They are read from ``module.rule`` and from a mapping while the model runs, and
nothing is written: no hook, no attribute, nothing to put back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from pellucid._core.rules.lrp_composites import CONVOLUTION, DENSE, Composite, Place
from pellucid._core.rules.lrp_layers import ELEMENTWISE_AFFINE
from pellucid._core.rules.lrp_rules import PropagationRule
from pellucid._core.rules.normalisation import NORMALISATIONS
from pellucid._core.rules.vocabulary import Kind
from pellucid.errors import invalid_type, invalid_value

ModuleKey = torch.nn.Module | str | type
ModuleRules = Mapping[ModuleKey, PropagationRule]
Modules = tuple[torch.nn.Module, ...]

_POOLINGS = ("avg_pool", "adaptive_avg_pool", "max_pool", "adaptive_max_pool")
_SCALINGS = ELEMENTWISE_AFFINE | frozenset({"addcmul", "lerp", "cross", "linalg_cross"})


def kind_of(operation: str, kind: Kind) -> str | None:
    """Return the kind of an operation in the words of composites; None if none of them can be for it."""
    if kind is Kind.LAYER and operation not in _SCALINGS:
        return CONVOLUTION if "conv" in operation else DENSE
    if kind is Kind.LINEAR and operation in {"batch_norm", "instance_norm"}:
        return "batch_norm"
    if operation.startswith(_POOLINGS):
        return "pooling"
    if kind is Kind.UNARY:
        return "activation"
    return "normalisation" if operation in NORMALISATIONS else None


def _never() -> bool:
    return False


class RuleChoice:
    """The rules of one call.

    Args:
        composite: The composite.
        rules: The user's rules by module, module name or module type; they precede the composite.
        partial: The pass begins inside the model: no operation reads the model's inputs, and rules for what
            comes before are not missed.
    """

    def __init__(self, composite: Composite, rules: ModuleRules, partial: bool = False) -> None:
        self.composite = composite
        self._partial = partial
        self._by_module: dict[int, tuple[ModuleKey, PropagationRule]] = {}
        self._by_name: dict[str, PropagationRule] = {}
        self._by_type: dict[type, PropagationRule] = {}
        self._waiting: set[ModuleKey] = {key for key in rules if not isinstance(key, type)}
        self._names: dict[int, dict[int, str]] = {}
        for key, rule in rules.items():
            checked = _checked(rule, key)
            if isinstance(key, str):
                self._by_name[key] = checked
            elif isinstance(key, type):
                self._by_type[key] = checked
            else:
                self._by_module[id(key)] = (key, checked)

    def find(
        self, operation: str, kind: str, modules: Modules, reads_inputs: Callable[[], bool]
    ) -> PropagationRule | None:
        """Return the rule of an operation, or None where it keeps the default of its kind."""

        def name(module: torch.nn.Module) -> str:
            return self._name(module, modules[-1])

        for module in modules if kind in {CONVOLUTION, DENSE} else modules[:1]:
            rule = self._of_module(module, name)
            if rule is not None:
                return rule
        first = _never if self._partial else reads_inputs
        return self.composite.rule_at(Place(operation, kind, modules, name, first))

    def check_all_used(self) -> None:
        """Refuse modules and names of the mapping that no operation ran in."""
        unused = sorted(key if isinstance(key, str) else type(key).__name__ for key in self._waiting)
        if unused and not self._partial:
            raise invalid_value(
                "rules",
                repr(unused),
                "no layer of the model runs there",
                "modules or names as in named_modules()",
            )

    def _of_module(self, module: torch.nn.Module, name: Callable[[torch.nn.Module], str]) -> PropagationRule | None:
        entry = self._by_module.get(id(module))
        if entry is not None:
            self._waiting.discard(entry[0])
            return entry[1]
        own = vars(module).get("rule")
        if own is not None and _is_meant(own):
            return _checked(own, module)
        if self._by_name:  # names are only found where some rule asks for them
            called = name(module)
            if called in self._by_name:
                self._waiting.discard(called)
                return self._by_name[called]
        if not self._by_type:
            return None
        return next((self._by_type[base] for base in type(module).__mro__ if base in self._by_type), None)

    def _name(self, module: torch.nn.Module, root: torch.nn.Module) -> str:
        names = self._names.get(id(root))
        if names is None:
            names = self._names[id(root)] = {id(inner): name for name, inner in root.named_modules()}
        return names.get(id(module), "")


def _is_meant(rule: object) -> bool:
    """Tell whether an attribute called ``rule`` is meant for us; a model may use the name for itself."""
    if isinstance(rule, type):
        return issubclass(rule, PropagationRule)
    return isinstance(rule, PropagationRule) or type(rule).__module__.startswith("captum.")


def _checked(rule: object, key: object) -> PropagationRule:
    if isinstance(rule, PropagationRule):
        return rule
    where = f"module '{key}'" if isinstance(key, str) else type(key).__name__
    given = f"{rule!r} for {where}"
    if isinstance(rule, type) and issubclass(rule, PropagationRule):
        raise invalid_value("rule", given, "it is a class and not a rule", f"{rule.__name__}()")
    raise invalid_type("rule", given, "it is no propagation rule of this library", "a rule such as EpsilonRule()")
