"""``pellucid.explain``: the one-line door."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.door import accept_baselines, accept_distribution, accept_question
from pellucid._core.forward import perturbing
from pellucid._core.gradient import evaluating
from pellucid._core.output import SelectedOutput
from pellucid._core.progress import progress
from pellucid._core.report import recording
from pellucid._core.site import Question
from pellucid._core.structure import like
from pellucid._core.taps import name_of
from pellucid.attr import Attribution
from pellucid.errors import invalid_type, invalid_value
from pellucid.explanation import Cost, Explanation, accept_names, accept_tokens
from pellucid.registry import QUADRATURE, MethodInfo, method_named
from pellucid.scopes import scoped
from pellucid.tokens import asked_about, concerns_ids, explain_ids
from pellucid.typing import ForwardFunction, NeuronSelector, TargetLike, Tensors

_HANDLED = {"inputs", "target", "return_convergence_delta", "additional_forward_args"}
_NOT_HERE = {"targets", "neurons", "neuron_selector", "calls"}
"""Arguments that one explanation has no place for, or that have another name here."""


def explain(
    model: ForwardFunction,
    inputs: Tensors | Mapping[str, Tensor] | str | list[str],
    method: str | Callable[[Any], Attribution] = "integrated_gradients",
    target: TargetLike = None,
    *,
    additional_forward_args: Any = None,
    output: str | int | None = None,
    tokenizer: Any = None,
    layer: nn.Module | str | None = None,
    neuron: NeuronSelector | None = None,
    names: Sequence[str] | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
    **arguments: Any,
) -> Explanation:
    """Explain predictions of a model in one line.

    The rich result holds the attributions together with their check (completeness error or standard error),
    the model's outputs, the cost, and everything that was warned about.

    Example:
        >>> import pellucid, torch
        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 0.5)
        >>> explanation = pellucid.explain(model, torch.tensor([[1.0, 2.0]]), target=0)
        >>> explanation.attributions
        tensor([[0.5000, 1.0000]])
        >>> bool(explanation.delta.abs() < 1e-6)
        True

    Args:
        model: a torch.nn.Module or any callable.
        inputs: floating-point tensor of shape (N, ...), or a tuple of such tensors with the same N. Integers among
            them are ids (tokens, categories): gradient-like methods explain them at their embeddings and sum over
            each vector, see ``pellucid.embed``. A mapping gives tensors by the keywords under which the model takes
            them; a text, or a list of texts, wants a tokenizer.
        method: name of a method (``pellucid.methods()`` lists them), or what makes one from the model: a class
            of ``pellucid.attr`` or, for example, ``lambda m: NoiseTunnel(IntegratedGradients(m))``.
        target: which output of each example is explained. ``None`` takes the predicted class of each example
            if the output has shape (N, C) with C > 1, and records it.
        additional_forward_args: further arguments of the model, one or a tuple, that are not explained; a mapping by
            keyword for texts and for inputs by keyword.
        output: name or position of the tensor to explain in an output that holds several.
        layer: a module of the model, or its dotted name, whose values are explained in the place of the inputs.
        neuron: an index into the layer's value, or a function of it: the inputs are explained by what they do to
            this neuron in the place of the output.
        names: names of the inputs' columns or channels, for pictures.
        tokens: the tokens of each text, for pictures.
        tokenizer: the Hugging Face tokenizer of texts or ids. Baselines for ids are "zero" (zero vectors), "pad",
            "mask", "unk", an id or a tensor of ids; special tokens and padding keep their vectors.
        **arguments: arguments of the method, such as ``baselines``, ``n_steps`` or ``seed``; the quadrature of
            integrated gradients, called ``method`` there, is called ``quadrature`` here.

    Returns:
        The explanation.

    Raises:
        InvalidTypeError: for an argument that the method does not have, or one of a wrong type.
        InvalidValueError: for an unknown method, or arguments that do not fit together.
    """
    forward = model if output is None else SelectedOutput(model, output)
    info, explained = scoped(method_info(method), forward, layer, neuron)
    if concerns_ids(inputs, info, arguments.get("baselines"), tokenizer):
        check_arguments(info, {"baselines": None, **arguments} if info.takes("baselines") else arguments)
        asked = asked_about(model, inputs, additional_forward_args, tokenizer)
        passed_on = {"method": method, "target": target, "output": output, "layer": layer, "neuron": neuron}
        return explain_ids(explain, asked, info, {**passed_on, "names": names, "tokens": tokens, **arguments})
    check_arguments(info, arguments)
    takes_target = info.wraps or info.takes("target")
    if target is not None and not takes_target:
        raise invalid_value("target", repr(target), f"{info.name} here explains no output", "no target")
    any_values = info.attribution.takes_any_values
    integers = info.attribution.takes_integers
    allowed = {"any_values": any_values, "integers": integers}
    question = accept_question(explained, inputs, target, additional_forward_args, **allowed)
    named = None if names is None else accept_names(names, question.inputs)
    told = None if tokens is None else accept_tokens(tokens, question.inputs)
    start = time.perf_counter()
    with recording() as report:
        outputs = plain_outputs(question, any_values)
        chosen = predicted_classes(outputs) if target is None and takes_target else target
        filled = info.filled(arguments, question.inputs)
        own = {"additional_forward_args": additional_forward_args, "target": chosen}
        own |= {"neuron_selector": neuron} if "neuron_selector" in info.parameters else {}
        attributions = info.build(explained).attribute(inputs, **_passed(filled, own))
    return Explanation(
        attributions=attributions,
        inputs=question.site.structured(question.inputs),
        baselines=_baselines(info, filled, question),
        target=torch.tensor(chosen) if isinstance(chosen, list) else chosen,
        method=info.name,
        settings={name: _as_json(value) for name, value in filled.items()},
        outputs=outputs,
        delta=report.delta,
        bypass=report.bypass,
        layer=None if layer is None else name_of(forward, layer),
        neuron=None if neuron is None else _shown(neuron),
        standard_error=_structured(attributions, report.standard_error),
        fit=report.fit,
        n_steps=report.n_steps,
        certificate=report.certificate,
        cost=Cost(report.rows, report.calls, time.perf_counter() - start),
        warnings=tuple(report.notices),
        names=named,
        tokens=told,
    )


def _passed(filled: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the method's ``attribute``: what was filled in, under its names there, and what else is given."""
    named = {"method" if name == QUADRATURE else name: value for name, value in filled.items()}
    return named | {name: value for name, value in own.items() if value is not None}


def method_info(method: str | Callable[[Any], Attribution]) -> MethodInfo:
    """Find a method by its name, or describe one that a function makes from a model."""
    if isinstance(method, str):
        return method_named(method)
    made = method(_nothing) if callable(method) else None
    if isinstance(made, Attribution):
        return MethodInfo(type(made).__name__, "", method, type(made))
    raise invalid_type(
        "method",
        f"a {type(method).__name__}",
        "it names no method and makes none",
        "a name, a class of pellucid.attr, or a function from model to method",
    )


def _nothing(*_: Any) -> Tensor:
    """Stand in for a model while a method is only looked at."""
    return torch.zeros(1)


def check_arguments(info: MethodInfo, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a method does not have, and name those that it needs."""
    if info.wraps:
        return  # it checks what it passes on
    parameters = info.parameters
    known = [name for name in parameters if name not in _HANDLED | _NOT_HERE]
    for name in arguments:
        if name not in known:
            raise invalid_type(name, "given", f"{info.name} has no such argument", f"one of {', '.join(known)}")
    given = {*arguments, *info.defaults}
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in given]
    if missing:
        raise invalid_type(missing[0], "missing", f"{info.name} needs it", f"{missing[0]}=...")


def plain_outputs(question: Question, any_values: bool = False) -> Tensor:
    """Evaluate the model at the inputs as they are."""
    if any_values:
        with progress(False, "", None) as bar, perturbing(question, None, (), bar) as forward:
            return forward.outputs()
    with evaluating(question) as evaluator:
        return evaluator.outputs()


def predicted_classes(outputs: Tensor) -> TargetLike:
    """The class with the highest output of each example, if there are classes."""
    if outputs.dim() == 2 and outputs.shape[1] > 1:
        return outputs.argmax(1)
    return None


def _baselines(info: MethodInfo, filled: Mapping[str, Any], question: Question) -> Tensors | None:
    """The baselines as tensors, if the method has any."""
    if not info.takes("baselines"):
        return None
    given = filled.get("baselines")
    if callable(given):
        return None
    template = question.template
    if info.attribution.takes_distribution:
        return like(template, accept_distribution(given, question.inputs, template))
    any_values = info.attribution.takes_any_values
    return like(template, accept_baselines(given, question.inputs, template, any_values))


def _structured(template: Any, values: tuple[Tensor, ...] | None) -> Tensors | None:
    return None if values is None else like(template, values)


def _shown(neuron: NeuronSelector) -> str:
    """Write a selector as it would be typed, a function by its name."""
    if callable(neuron):
        return getattr(neuron, "__name__", type(neuron).__name__)
    parts = neuron if isinstance(neuron, tuple) else (neuron,)
    return ", ".join(_slice_text(p) if isinstance(p, slice) else str(p) for p in parts)


def _slice_text(part: slice) -> str:
    ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
    return ":".join([*ends, *([] if part.step is None else [str(part.step)])])


def _as_json(value: Any) -> Any:
    """Give a setting as a JSON value; tensors and functions are described."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_as_json(part) for part in value]
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    return getattr(value, "__name__", type(value).__name__)
