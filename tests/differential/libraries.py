"""Both libraries under the same names, and what code gives in each of them."""

import ast
import contextlib
import importlib
import io
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tests import models as plain_models
from tests.layers import models as layer_models

PLACES = {
    "pellucid": (
        "pellucid.attr",
        "pellucid.robust",
        "pellucid.metrics",
        "pellucid.visualization",
        "pellucid.lrp",
        "pellucid.attr.models",
    ),
    "captum": (
        "captum.attr",
        "captum.robust",
        "captum.metrics",
        "captum.attr._utils.visualization",
        "captum.attr._utils.lrp_rules",
        "captum._utils.models.linear_model",
        "captum.attr._utils.input_layer_wrapper",
        "captum.attr._core.dataloader_attr",
    ),
}
"""By library, the modules whose public names belong together; those of Captum that have no public place too."""


class Counted:
    """A function that counts its calls and the rows that it is given."""

    def __init__(self, function):
        self.function, self.calls, self.rows = function, 0, 0

    def __call__(self, x, *more):
        self.calls += 1
        self.rows += len(x)
        return self.function(x, *more)


def public(module):
    """The names of a module that are for others; without a list, those that it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", None) == module.__name__]


def names(library):
    """All public names of a library with what they stand for."""
    found = {}
    for place in PLACES[library]:
        module = importlib.import_module(place)
        found.update({name: getattr(module, name) for name in public(module) if name not in found})
    return found


def scene(library):
    """The names that examples may use: a library's, torch's and those of small models."""
    own = names(library)
    common = {"torch": torch, "nn": nn, "math": math, "np": np, "warnings": warnings, "Counted": Counted}
    helpers = {n: v for m in (plain_models, layer_models) for n, v in vars(m).items() if n[0] != "_"}
    root = {"pellucid": importlib.import_module("pellucid")} if library == "pellucid" else {}
    return {**helpers, **common, **own, **root, "IG": own["IntegratedGradients"]}


@dataclass(frozen=True)
class Outcome:
    """What code gave, as text, and the classes of the warnings on the way."""

    text: str
    warned: frozenset[str]


def number(value: float) -> str:
    """Four digits of a number; what is zero but for rounding is zero."""
    return f"{0.0 if abs(value) < 1e-9 else value:.4g}"


def shown(value: Any) -> str:
    """A value as the page shows it."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return shown(value.tolist())
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{shown(k)}: {shown(v)}' for k, v in value.items())}}}"
    return type(value).__name__


def run(code: str, setting: str, library: str) -> Outcome:
    """Run code in one library, after the lines that set its scene; the last line of the code is its value."""
    tree = ast.parse(code)
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise TypeError(f"The last line of an example is an expression: {code}")
    namespace = scene(library)
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng(), contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("always")
        torch.manual_seed(0)
        np.random.seed(0)
        exec(setting, namespace)  # the scene has to be right in both libraries
        try:
            exec(compile(tree, "<example>", "exec"), namespace)
            text = shown(eval(compile(ast.Expression(last.value), "<example>", "eval"), namespace))
        except Exception as error:  # what a library raises is what it gives
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Outcome(text, frozenset(warning.category.__name__ for warning in caught))
