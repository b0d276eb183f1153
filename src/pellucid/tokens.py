"""Explaining models of ids and of sentences: what ``pellucid.explain`` does with integers, keywords and a tokenizer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pellucid._core.lookups import is_ids
from pellucid._core.report import recording
from pellucid._core.structure import names_of
from pellucid.attr import LayerAttribution
from pellucid.errors import invalid_type, invalid_value
from pellucid.explanation import Cost, Explanation
from pellucid.ids import accepted, aligned_baselines, baseline_ids, embed, special_ids
from pellucid.registry import MethodInfo


@dataclass(frozen=True)
class Asked:
    """What ``explain`` was asked about ids.

    Attributes:
        model: the model.
        inputs: ids, alone or among others, by position or by keyword.
        additional: further arguments of the model.
        tokenizer: the tokenizer of the ids, if any.
        tokens: their tokens, one tuple per text.
        special: positions of special tokens in each text.
    """

    model: Any
    inputs: Any
    additional: Any
    tokenizer: Any = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    special: list[list[int]] = field(default_factory=list)


def concerns_ids(inputs: Any, info: MethodInfo, baselines: Any, tokenizer: Any) -> bool:
    """Tell whether inputs are to be explained at their embeddings, or by keyword."""
    if tokenizer is not None or isinstance(inputs, Mapping | str):
        return True
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    ids = any(isinstance(x, Tensor) and is_ids(x) for x in parts)
    named = isinstance(baselines, str) or (isinstance(baselines, tuple) and any(isinstance(b, str) for b in baselines))
    return ids and (named or not info.attribution.takes_any_values)


def explain_ids(
    explain: Callable[..., Explanation], asked: Asked, info: MethodInfo, arguments: dict[str, Any]
) -> Explanation:
    """Explain ids at their embeddings, or by replacing them for methods that perturb.

    Args:
        explain: what explains floating-point inputs.
        asked: about what.
        info: the method.
        arguments: further arguments of ``explain``; baselines as for ``pellucid.embed``.

    Returns:
        An explanation with one value per id.
    """
    begin = time.perf_counter()
    baselines = arguments.pop("baselines", None)
    if baselines is None and info.takes("baselines"):
        baselines = _default_baseline(asked)
    with recording() as report:
        run = _by_replacing if info.attribution.takes_any_values else _by_embedding
        found, ids = run(explain, asked, info, baselines, arguments)
    shown = all(isinstance(b, Tensor) for b in ids)
    several = isinstance(found.inputs, tuple)
    settings = {**found.settings}
    if info.takes("baselines"):
        settings["baselines"] = _said(baselines)
    if asked.tokenizer is not None:
        settings["special_tokens"] = asked.special
    return replace(
        found,
        baselines=(ids if several else ids[0]) if shown and ids else None,
        settings=settings,
        cost=Cost(report.rows, report.calls, time.perf_counter() - begin),
        warnings=tuple(report.notices),
        tokens=asked.tokens,
    )


def _by_embedding(
    explain: Callable[..., Explanation], asked: Asked, info: MethodInfo, baselines: Any, arguments: dict[str, Any]
) -> tuple[Explanation, tuple[Any, ...]]:
    inside = accepted(asked.model, asked.inputs, asked.additional)
    if not any(map(is_ids, inside.values)):  # by keyword, but without ids
        given = {} if baselines is None else {"baselines": aligned_baselines(baselines, inside)}
        return _plainly(explain, inside, {**given, **arguments}, asked.additional), ()
    if asked.tokens is not None and len(asked.tokens) > 1 and info.attribution.takes_distribution:
        raise invalid_value(
            "inputs", f"{len(asked.tokens)} texts", f"{info.name} compares all with all baselines", "one text at a time"
        )
    held = embed(asked.model, asked.inputs, baselines, asked.additional, tokenizer=asked.tokenizer)
    given = {"baselines": held.baselines} if info.takes("baselines") else {}
    found = explain(
        held.forward_func,
        held.inputs,
        additional_forward_args=held.additional_forward_args,
        **given,
        **arguments,
    )
    at_layer = issubclass(info.attribution, LayerAttribution)
    attributions = found.attributions if at_layer else held.summed(found.attributions)
    inputs = inside.values if isinstance(inside.template, tuple) else inside.values[0]
    # standard errors of single numbers do not tell that of their sum
    return replace(found, attributions=attributions, inputs=inputs, standard_error=None), held.ids


def _by_replacing(
    explain: Callable[..., Explanation], asked: Asked, info: MethodInfo, baselines: Any, arguments: dict[str, Any]
) -> tuple[Explanation, tuple[Any, ...]]:
    inside = accepted(asked.model, asked.inputs, asked.additional)
    if not info.takes("baselines"):
        return _plainly(explain, inside, arguments, asked.additional), ()
    chosen = aligned_baselines(baselines, inside)
    ids = []
    for name, base, x in zip(names_of("baselines", inside.template), chosen, inside.values, strict=True):
        if is_ids(x) and isinstance(base, str) and base == "zero":
            raise invalid_value(name, "'zero'", f"{info.name} replaces ids by ids", "'pad', 'mask', 'unk' or an id")
        found = base
        if is_ids(x):
            found = baseline_ids(name, base if base is not None else 0, x, inside.forward, asked.tokenizer)
        ids.append(0.0 if found is None else found)
    given = tuple(ids) if isinstance(inside.template, tuple) else ids[0]
    return _plainly(explain, inside, {"baselines": given, **arguments}, asked.additional), tuple(ids)


def _plainly(explain: Callable[..., Explanation], inside: Any, arguments: dict[str, Any], additional: Any) -> Explanation:
    others = tuple(additional.values()) if isinstance(additional, Mapping) else additional
    given = {} if others is None else {"additional_forward_args": others}
    return explain(inside.forward, inside.template, **given, **arguments)


def _said(baselines: Any) -> Any:
    if baselines is None:
        return "zero"
    if isinstance(baselines, Mapping):
        return {name: _said(value) for name, value in baselines.items()}
    if isinstance(baselines, tuple):
        return [_said(value) for value in baselines]
    return f"tensor of shape {tuple(baselines.shape)}" if isinstance(baselines, Tensor) else baselines


def asked_about(model: Any, inputs: Any, additional: Any, tokenizer: Any) -> Asked:
    """Turn what was given to ``explain`` into ids: sentences are tokenized, the rest is as it is.

    Args:
        model: the model.
        inputs: a text, a list of texts, or ids in any form.
        additional: further arguments of the model; by keyword for texts.
        tokenizer: a Hugging Face tokenizer, or ``None``.

    Returns:
        What is asked.
    """
    texts = _texts(inputs)
    if texts is None:
        return _asked_about_ids(Asked(model, inputs, additional, tokenizer))
    if tokenizer is None:
        raise invalid_type("inputs", "a text", "without its tokenizer a text has no ids", "tokenizer= beside it")
    if additional is not None and not isinstance(additional, Mapping):
        raise invalid_type(
            "additional_forward_args", f"a {type(additional).__name__}", "texts are passed by keyword", "a mapping"
        )
    encoded = _encoded(tokenizer, texts)
    device = next((p.device for m in [model] if hasattr(m, "parameters") for p in m.parameters()), torch.device("cpu"))
    fields = {name: value.to(device) for name, value in encoded.items() if isinstance(value, Tensor)}
    if "input_ids" not in fields:
        raise invalid_type("tokenizer", "one without input_ids", "ids are explained", "a Hugging Face tokenizer")
    ids = fields.pop("input_ids")
    others = {**_taken(model, fields), **dict(additional or {})}
    return _asked_about_ids(Asked(model, {"input_ids": ids}, others, tokenizer))


def _texts(inputs: Any) -> list[str] | None:
    if isinstance(inputs, str):
        return [inputs]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(text, str) for text in inputs):
        return list(inputs)
    return None


def _encoded(tokenizer: Any, texts: Sequence[str]) -> Mapping[str, Any]:
    several = len(texts) > 1
    if several and getattr(tokenizer, "pad_token_id", None) is None:
        raise invalid_value(
            "tokenizer",
            "one without a padding token",
            "texts of different lengths are filled with it",
            "one text at a time, or set tokenizer.pad_token",
        )
    encoded: Mapping[str, Any] = tokenizer(list(texts), return_tensors="pt", padding=several)
    limit = getattr(tokenizer, "model_max_length", None)
    length = encoded["input_ids"].shape[1] if "input_ids" in encoded else 0
    if isinstance(limit, int) and length > limit:
        raise invalid_value("inputs", f"a text of {length} tokens", f"the model reads {limit}", "shorter texts")
    if "input_ids" in encoded and length == 0:
        raise invalid_value("inputs", "an empty text", "it has no token", "a text")
    return encoded


def _taken(model: Any, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what a function does not take, if it says nothing."""
    try:
        parameters = inspect.signature(getattr(model, "forward", model)).parameters
    except (TypeError, ValueError):
        return dict(fields)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(fields)
    silent = {"attention_mask": lambda value: bool((value == 1).all()), "token_type_ids": lambda v: not bool(v.any())}
    for name, value in fields.items():
        if name not in parameters and not silent.get(name, lambda _: False)(value):
            raise invalid_value(
                "forward_func", f"one without {name}", "the tokenizer made some that matter", f"a model that takes {name}"
            )
    return {name: value for name, value in fields.items() if name in parameters}


def _asked_about_ids(asked: Asked) -> Asked:
    """Add tokens and the places of special ones, where a tokenizer tells them."""
    if asked.tokenizer is None:
        return asked
    given = asked.inputs
    ids = given.get("input_ids") if isinstance(given, Mapping) else given
    if not isinstance(ids, Tensor) or not is_ids(ids) or ids.dim() != 2:
        raise invalid_type(
            "inputs",
            "with a tokenizer, but neither texts nor their ids",
            "the tokenizer belongs to ids of shape (N, T)",
            "texts, a tensor of ids, or a mapping with input_ids",
        )
    special = special_ids(asked.tokenizer)
    pad = getattr(asked.tokenizer, "pad_token_id", None)
    rows = ids.tolist()
    mask = asked.additional.get("attention_mask") if isinstance(asked.additional, Mapping) else None
    seen = (ids != pad if pad is not None else torch.ones_like(ids)) if mask is None else mask
    tokens = []
    for row, real in zip(rows, seen.tolist(), strict=True):
        names = tuple(str(t) for t in asked.tokenizer.convert_ids_to_tokens(row))
        tokens.append(names[: max((i + 1 for i, one in enumerate(real) if one), default=0)])
    places = [
        [i for i, (number, real) in enumerate(zip(row, one, strict=True)) if real and number in special]
        for row, one in zip(rows, seen.tolist(), strict=True)
    ]
    return replace(asked, tokens=tuple(tokens), special=places)


def _default_baseline(asked: Asked) -> Any:
    """Choose where ids start: the first of padding, mask and unknown that a tokenizer has, else zero vectors."""
    for name in ("pad", "mask", "unk") if asked.tokenizer is not None else ():
        if getattr(asked.tokenizer, f"{name}_token_id", None) is not None:
            return name if not isinstance(asked.inputs, Mapping) or len(asked.inputs) == 1 else {"input_ids": name}
    return None
