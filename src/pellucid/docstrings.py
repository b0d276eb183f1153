"""What the signature of a public method says: its argument texts, and the truth values that it takes.

``@documented`` replaces ``{arguments}`` in a docstring by an ``Args:`` section that is made from the
function's signature. A text given to the decorator goes before the shared one. Arguments that the signature calls
``bool`` are then checked to be truth values.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from pellucid.errors import invalid_type

Function = TypeVar("Function", bound=Callable[..., Any])

ARGUMENTS: dict[str, str] = {
    "forward_func": "The model to explain: a torch.nn.Module or any callable that is called with the inputs and the"
    " additional arguments. Of an output that holds several tensors (tuple, dict, dataclass), the first"
    " floating-point one is explained; see pellucid.select_output for another.",
    "model": "The model to explain: a torch.nn.Module or any callable, as for forward_func of other methods.",
    "custom_attribution_func": "Puts another formula in place of multipliers times differences: a function of"
    " (multipliers), (multipliers, inputs) or (multipliers, inputs, baselines), each a tuple of tensors with one row"
    " per pair of example and reference, that returns a tuple of tensors shaped as the multipliers.",
    "rule": "rescale, or reveal_cancel, which treats positive and negative contributions to each activation apart.",
    "strict": "Whether operations without a rule and decisions that differ from the reference are refused.",
    "choices": "Rules of your own for operations, modules or autograd functions (pellucid.rules).",
    "multiply_by_inputs": "Whether gradients are multiplied with the distance from the baseline (global"
    " attributions, which sum to a difference of outputs) or returned as they are (local ones).",
    "inputs": "Floating-point tensor of shape (N, ...), or a tuple of such tensors with the same N.",
    "baselines": "Reference the prediction is compared with, in the units of the inputs: None (zeros), a number, a"
    " tensor with 1 or N rows, or a tuple with one of these per input.",
    "target": "Which output of each example is explained: None if there is one per example, an int, a tuple of ints"
    " and slices for outputs of more dimensions (a slice means the sum over it), or one per example as a tensor"
    " (N,), a list of ints or a list of tuples.",
    "additional_forward_args": "Further arguments of the model, one or a tuple, that are not explained. Tensors with N"
    " rows follow their examples; wrap one that does not in pellucid.shared.",
    "targets": "Several targets in the place of one, each as target takes it; they share the model's evaluations, and"
    " the result has a leading axis with one entry per target.",
    "layer": "Module of the model.",
    "device_ids": "Devices of a DataParallel model that is hidden inside forward_func; it is found by itself if it is"
    " forward_func or one of its modules.",
    "attribute_to_layer_input": "Whether what flows into the layer is explained instead of what flows out of it.",
    "attribute_to_neuron_input": "Whether neuron_selector selects from what flows into the layer instead of what flows"
    " out of it.",
    "calls": "What is returned for a layer that is called several times in one forward pass: the 'sum' over its calls,"
    " or a list with 'each'.",
    "neuron_selector": "Which neuron: an int for a layer of shape (N, C), a tuple of ints and slices with one entry per"
    " dimension after the first (a slice means the sum over it), or a function from the layer's value (a tensor, or a"
    " tuple or dictionary if several flow there) to one number per example, shape (N,). Its values are summed over the"
    " calls of a layer that is called several times.",
    "neurons": "A list of neurons in the place of neuron_selector; they share the model's evaluations, and the result"
    " has a leading axis with one entry per neuron.",
    "grad_kwargs": "Further arguments of torch.autograd.grad: retain_graph, create_graph, allow_unused (False makes a"
    " layer without influence an error) and materialize_grads.",
    "feature_mask": "Integer ids, equal ones for values that are one feature: a tensor that broadcasts to the input"
    " with its last dimensions aligned and with 1 or N rows, or a tuple with one per input. None makes every value a"
    " feature.",
    "share_ids": "Whether an id in the masks of several inputs means one feature, which they lose together.",
    "perturbations_per_eval": "Perturbed copies of the batch per forward pass at most; None leaves the choice to the"
    " library.",
    "max_evals": "Coalitions evaluated at most, each for the whole batch; None sets no limit but that of n_samples, or"
    " with tolerance one of 20,000 samples.",
    "start_from": "State of an earlier call with the same arguments, found in the report of a pellucid.recording()"
    " block (report.state): n_samples more are drawn, and the result is that of both calls together.",
    "return_input_shape": "Whether attributions have the shape of the inputs, or one value per feature, in the order of"
    " their ids.",
    "n_steps": "Number of points on the path.",
    "method": "Quadrature: riemann_left, riemann_right, riemann_middle, riemann_trapezoid or gausslegendre.",
    "internal_batch_size": "Rows per forward pass at most; None leaves the choice to the library.",
    "return_convergence_delta": "Whether the completeness error is returned beside the attributions.",
    "tolerance": "Relative tolerance of the automatic number of steps.",
    "n_samples": "Number of random samples per example.",
    "stdevs": "Standard deviation of the Gaussian noise, in the units of the inputs; one for all inputs or a tuple.",
    "generator": "Source of randomness; only this one is advanced. Without it and seed, one number is drawn from"
    " torch's default generator.",
    "seed": "Seed of a private generator, instead of generator.",
    "show_progress": "Whether a progress bar is shown.",
    "attributions": "Attributions to check: one value per input value, in the structure of the inputs.",
    "max_examples_per_batch": "Rows per forward pass at most; None leaves the choice to the library.",
    "ground_truth": "Where the evidence is: a bool tensor shaped as the attributions, or (N, 1, ...) for one mask over"
    " all channels.",
    "start_point": "Baselines that the attributions were computed with.",
    "end_point": "Inputs that the attributions were computed for.",
    "loss_func": "What the attack raises (lowers if targeted): a function of (outputs, target) that returns one value"
    " per example; None takes the default loss.",
    "lower_bound": "Least value that an input may take: a number, a tensor that broadcasts to the inputs (one per"
    " channel, say), or a tuple with one of these per input.",
    "upper_bound": "Largest value that an input may take, in the same forms.",
    "targeted": "Whether the attack moves towards the target instead of away from it.",
    "mask": "Ones where inputs may change and zeros where not: a tensor that broadcasts to the inputs, or a tuple.",
    "radius": "Radius of the ball around each example that attacks may not leave, in the units of the inputs.",
    "norm": "Norm of the ball: Linf, L2 or L1.",
    "n_iter": "Number of steps of each search.",
    "n_classes": "The most likely other classes that are aimed at one after the other; all if there are fewer.",
}
"""Texts by argument name; used wherever a public method has an argument of this name."""

_TYPES = "Raises:\n    InvalidTypeError: for arguments of a wrong type"
_LAYER = f"{_TYPES}, or a layer without floating-point values.\n    InvalidValueError: for"
_NEVER = "or a layer that is never called."
SECTIONS: dict[str, str] = {
    "raises": f"{_TYPES}.\n    InvalidValueError: for arguments that do not fit together.",
    "target_raises": f"{_TYPES}.\n    InvalidValueError: for a target that does not fit the output, or inputs that"
    " cannot be explained.",
    "layer_raises": f"{_LAYER} arguments that do not fit together, {_NEVER}",
    "neuron_raises": f"{_LAYER} a neuron that the layer does not have, {_NEVER}",
    "like_inputs": "Returns:\n    Attributions in the structure of the inputs.",
    "rules_raise": "    UnsupportedModelError: for a model that the rules cannot follow; the message names operation"
    " and line.",
}
"""Sections that the docstrings of several methods share, put in place of their name in braces."""


def documented(**own: str) -> Callable[[Function], Function]:
    """Put an ``Args:`` section, made from the signature, in place of ``{arguments}`` in a docstring.

    ``{raises}`` becomes the shared ``Raises:`` section. Callers are held to the truth values that the signature wants.

    Args:
        **own: texts for arguments that are particular to this function; ``...`` at the beginning of one stands for
            the shared text.

    Returns:
        A decorator.
    """

    def decorate(function: Function) -> Function:
        if function.__doc__:
            lines = [_entry(name, own) for name in inspect.signature(function).parameters if name != "self"]
            section = "Args:\n" + "\n".join(lines)
            text = inspect.cleandoc(function.__doc__).replace("{arguments}", section)
            for name, shared in SECTIONS.items():
                text = text.replace(f"{{{name}}}", shared)
            function.__doc__ = text
        return holding(function)

    return decorate


def accept_flag(name: str, value: Any) -> None:
    """Check a truth value, for which 0 and 1 may stand."""
    if value is True or value is False:
        return
    if not isinstance(value, np.bool_) and not (isinstance(value, int) and value in {0, 1}):
        raise invalid_type(name, f"a {type(value).__name__}", "it is a yes or no", "True or False")


_FLAGS: dict[Any, Callable[[str, Any], Any]] = {"bool": accept_flag, bool: accept_flag}


def holding(function: Function, accepted: Mapping[Any, Callable[[str, Any], Any]] = _FLAGS) -> Function:
    """Hold callers to what a signature names, before the function begins.

    Args:
        function: any function.
        accepted: by annotation, what is called with name and value of an argument, and refuses what does not fit; by
            default truth values are checked, for which a word or a tensor is no answer.

    Returns:
        The function, which refuses other things in their places.
    """
    parameters = inspect.signature(function).parameters.values()
    watched = [
        (i, p.name, p.default, accepted[p.annotation]) for i, p in enumerate(parameters) if p.annotation in accepted
    ]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for place, name, default, accept in watched:
            value = args[place] if place < len(args) else kwargs.get(name, default)
            if value is not inspect.Parameter.empty:
                accept(name, value)
        return function(*args, **kwargs)

    return call if watched else function  # type: ignore[return-value]  # wraps() keeps the signature, unseen by mypy


def _entry(name: str, own: dict[str, str]) -> str:
    text = own.get(name, "...")
    first, _, rest = text.partition(" ")
    if first == "...":
        if name not in ARGUMENTS:
            raise KeyError(f"no text for the argument {name!r}: add one to ARGUMENTS or to @documented")
        text = f"{ARGUMENTS[name]} {rest}".rstrip()
    return textwrap.fill(f"{name}: {text}", width=96, initial_indent="    ", subsequent_indent="        ")
