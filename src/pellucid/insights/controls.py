"""The arguments of a method as a page can set them, read off its signature."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pellucid import lrp
from pellucid._core.quadrature import RULES
from pellucid.errors import invalid_type, invalid_value
from pellucid.registry import QUADRATURE, MethodInfo

Kind = Literal["integer", "number", "boolean", "choice", "json"]
BASELINE, GRID = "baseline", "grid"
"""Two arguments of the page's own: which of the features' baselines, and how values are grouped."""
NAMED: dict[str, tuple[str, ...]] = {
    QUADRATURE: tuple(RULES),
    "rule": ("rescale", "reveal_cancel"),
    "interpolate_mode": ("nearest", "bilinear", "bicubic"),
    "composite": ("epsilon", "EpsilonPlus", "EpsilonAlpha2Beta1", "AttnLRP", "CPLRP"),
}
"""Texts that an argument may be, or names of what it may be."""
COMPOSITES: dict[str, Callable[[], lrp.Composite | None]] = {
    "epsilon": lambda: None,
    "EpsilonPlus": lrp.EpsilonPlus,
    "EpsilonAlpha2Beta1": lrp.EpsilonAlpha2Beta1,
    "AttnLRP": lrp.AttnLRP,
    "CPLRP": lrp.CPLRP,
}
"""Rules of relevance propagation by name; the method's own default is epsilon."""
ELSEWHERE = frozenset(
    {"inputs", "target", "targets", "baselines", "additional_forward_args", "return_convergence_delta", "feature_mask"}
    | {"show_progress", "calls", "nt_type", "return_input_shape", "verbose", "layout", "draw_baseline_from_distrib"}
    | {"share_ids", "audit", "attr_dim_summation", "attribute_to_layer_input"}
)
"""Arguments that the question gives, that a page has no use for, or that change what kind of result there is."""
FEW = {"shapley_values": 4}
"""Groups along a side, of methods that evaluate all subsets of the features."""


@dataclass(frozen=True)
class Control:
    """An argument of a method that a person can set.

    Attributes:
        name: the argument.
        kind: what it holds; JSON is typed as text.
        default: what the method takes without it.
        optional: whether it may be nothing.
        choices: what it may be, of a choice.
        minimum: the least number that makes sense.
        help: what it means.
    """

    name: str
    kind: Kind
    default: Any
    optional: bool
    choices: tuple[str, ...] | None
    minimum: float | None
    help: str

    def event(self) -> dict[str, Any]:
        """Return the control as JSON values."""
        return {**asdict(self), "choices": None if self.choices is None else list(self.choices)}

    def read(self, value: Any) -> Any:
        """Check a value that came from a page, and return it as the method takes it."""
        if value is None and self.optional:
            return None
        if self.kind == "json":
            return _tuples(_parsed(value) if isinstance(value, str) else value)
        allowed: tuple[type, ...] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}.get(
            self.kind, (str,)
        )
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind != "boolean"):
            raise invalid_type(self.name, repr(value)[:60], f"it holds a {self.kind}", f"a {self.kind}")
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise invalid_value(self.name, repr(value)[:60], "it is too small", f"{self.minimum:g} or more")
        if self.choices is not None and value not in self.choices:
            why = "there is no such choice"
            raise invalid_value(self.name, repr(value)[:60], why, f"one of {', '.join(self.choices)}")
        return COMPOSITES[str(value)]() if self.name == "composite" else value


def controls_of(info: MethodInfo) -> tuple[Control, ...]:
    """Return what can be set of a method, in the order of its signature.

    Example:
        >>> import pellucid
        >>> [control.name for control in controls_of(pellucid.methods()[2])][:2]
        ['n_steps', 'quadrature']
    """
    hints = typing.get_type_hints(info.attribution.attribute)
    texts = argument_texts(inspect.getdoc(info.attribution.attribute) or "")
    found = []
    for name, parameter in info.parameters.items():
        inside = "method" if name == QUADRATURE else name
        if name in ELSEWHERE or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = info.defaults.get(name, parameter.default)
        default = None if default is inspect.Parameter.empty or callable(default) else default
        control = _control(name, hints[inside], default, texts.get(inside, ""), given=name in info.defaults)
        found += [] if control is None else [control]
    if info.takes("feature_mask") and not info.takes("hierarchy"):  # a hierarchy groups by itself
        groups = "Squares of an image, or stretches of a series, along its longer side, that are taken together;"
        text = f"{groups} nothing takes each value for itself."
        found.append(Control(GRID, "integer", FEW.get(info.name), True, None, 1, text))
    return tuple(found)


def baseline_control(names: tuple[str, ...], info: MethodInfo) -> Control | None:
    """Return the choice among the features' baselines, for methods that take one."""
    if not info.takes("baselines"):
        return None
    text = (
        "What the prediction is compared with." if len(names) < 2 else "Which baseline the prediction is compared with."
    )
    return Control(BASELINE, "choice", names[0], False, names, None, text)


def read_arguments(info: MethodInfo, arguments: Mapping[str, Any], baseline: Control | None) -> dict[str, Any]:
    """Check a question's arguments against the controls of its method.

    Raises:
        InvalidTypeError: for an argument that the page does not offer, or one of a wrong type.
        InvalidValueError: for a choice that does not exist.
    """
    offered = {control.name: control for control in (*controls_of(info), *([baseline] if baseline else []))}
    for name in arguments:
        if name not in offered:
            known = ", ".join(offered) or "no arguments"
            raise invalid_type(name[:60], "given", f"{info.name} offers no such argument here", known)
    read = {name: offered[name].read(value) for name, value in arguments.items()}
    return {name: value for name, value in read.items() if value is not None or offered[name].default is not None}


def _control(name: str, hint: Any, default: Any, text: str, *, given: bool) -> Control | None:
    """Return the control of one argument, or ``None`` if a page cannot hold its values."""
    kinds = set(typing.get_args(hint)) or {hint}
    optional = type(None) in kinds or given
    if name in NAMED:
        first = NAMED[name][0] if default is None else default
        return Control(name, "choice", first, False, NAMED[name], None, text)
    plain = kinds - {type(None)}
    simple: dict[type, tuple[Kind, float | None]] = {bool: ("boolean", None), int: ("integer", 0), float: ("number", 0)}
    for kind, (shown, minimum) in simple.items():
        if plain == {kind}:
            least = 1 if name.startswith(("n_", "nt_", "max_", "internal_", "perturbations_")) else minimum
            return Control(name, shown, default, optional, None, None if name == "seed" else least, text)
    if all(_is_json(kind) for kind in plain):
        return Control(name, "json", default, optional or default is None, None, None, text)
    return None


def _is_json(kind: Any) -> bool:
    """Tell whether values of a type can be typed as JSON: numbers, named words, and nested lists of these."""
    origin, inside = typing.get_origin(kind), [k for k in typing.get_args(kind) if k is not ...]
    if origin is Literal:
        return True
    if origin in {tuple, typing.Union, types.UnionType}:
        return all(_is_json(k) for k in inside)
    return kind in {int, float, bool}


def argument_texts(docstring: str) -> dict[str, str]:
    """Read the arguments' texts off a docstring in Google's form.

    Example:
        >>> import inspect
        >>> argument_texts(inspect.getdoc(argument_texts))
        {'docstring': 'without the indentation of its lines.'}

    Args:
        docstring: without the indentation
            of its lines.

    Returns:
        Texts by argument.
    """
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n(?=[ \t]))*)", docstring, re.MULTILINE)
    entries = re.split(r"^    (\w+): ", section[1], flags=re.MULTILINE)[1:] if section else []
    return {name: " ".join(text.split()) for name, text in zip(entries[::2], entries[1::2], strict=True)}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _tuples(value: Any) -> Any:
    """Return nested lists as tuples, as methods take them."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value
