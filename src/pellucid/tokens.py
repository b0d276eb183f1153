"""Explaining models of ids and of sentences: what ``pellucid.explain`` does with integers, keywords and a tokenizer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_function
from pellucid._core.lookups import is_ids
from pellucid._core.report import recording
from pellucid._core.site import InputSite
from pellucid._core.structure import like, names_of
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
    """Tell whether inputs are to be explained at their embeddings, or are given by keyword or as texts."""
    if tokenizer is not None or isinstance(inputs, Mapping) or _texts(inputs) is not None:
        return True
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    ids = any(isinstance(x, Tensor) and is_ids(x) for x in parts)
    named = isinstance(baselines, str) or (isinstance(baselines, tuple) and any(isinstance(b, str) for b in baselines))
    return ids and (named or not _takes_ids(info))


def _takes_ids(info: MethodInfo) -> bool:
    """Tell whether a method needs no derivative by its inputs: it replaces them, or explains a layer."""
    return info.attribution.takes_any_values or info.attribution.takes_integers


def explain_ids(
    explain: Callable[..., Explanation], asked: Asked, info: MethodInfo, arguments: dict[str, Any]
) -> Explanation:
    """Explain ids at their embeddings, or as they are by methods that replace them or explain a layer.

    Args:
        explain: what explains floating-point inputs, and ids as they are.
        asked: about what.
        info: the method.
        arguments: further arguments of ``explain``; baselines as for ``pellucid.embed``.

    Returns:
        An explanation with one value per id.
    """
    begin = time.perf_counter()
    rest = dict(arguments)
    names, tokens, baselines = rest.pop("names"), rest.pop("tokens"), rest.pop("baselines", None)
    takes = info.takes("baselines") or baselines is not None  # the method refuses what it does not take
    if baselines is None and takes:
        baselines = _default_baseline(asked)
    if asked.tokens is not None and len(asked.tokens) > 1 and info.attribution.takes_distribution:
        raise invalid_value(
            "inputs", f"{len(asked.tokens)} texts", f"{info.name} compares all with all baselines", "one text at a time"
        )
    with recording() as report:
        inside = accepted(asked.model, asked.inputs, asked.additional)
        embeds = not _takes_ids(info) and any(map(is_ids, inside.values))
        run = _by_embedding if embeds else _as_given
        found = run(explain, asked, inside, rest, takes, baselines)
    settings = {**found.settings, **({"baselines": _said(baselines)} if takes else {})}
    if asked.tokenizer is not None:
        settings["special_tokens"] = asked.special
    cost = Cost(report.rows, report.calls, time.perf_counter() - begin)
    result = replace(found, settings=settings, cost=cost, warnings=tuple(report.notices))
    return result.labelled(names=names, tokens=asked.tokens if tokens is None else tokens)


def _by_embedding(
    explain: Callable[..., Explanation], asked: Asked, inside: InputSite, arguments: dict[str, Any], takes: bool,
    baselines: Any,
) -> Explanation:  # fmt: skip
    held = embed(asked.model, asked.inputs, baselines, asked.additional, tokenizer=asked.tokenizer)
    given = {"baselines": held.baselines} if takes else {}
    found = explain(
        held.forward_func, held.inputs, additional_forward_args=held.additional_forward_args, **given, **arguments
    )
    at_layer = arguments["layer"] is not None and arguments["neuron"] is None
    shown = [torch.full_like(x[:1], b) if isinstance(b, int | float) else b for b, x in _pairs(held.ids, inside)]
    return replace(
        found,
        attributions=found.attributions if at_layer else held.summed(found.attributions),
        inputs=inside.structured(inside.values),
        baselines=like(inside.template, shown) if takes and all(isinstance(b, Tensor) for b in shown) else None,
        standard_error=found.standard_error if at_layer else None,  # those of parts do not tell that of their sum
    )


def _pairs(ids: tuple[Any, ...], inside: InputSite) -> list[tuple[Any, Tensor]]:
    return [(0.0 if b is None and not is_ids(x) else b, x) for b, x in zip(ids, inside.values, strict=True)]


def _as_given(
    explain: Callable[..., Explanation], asked: Asked, inside: InputSite, arguments: dict[str, Any], takes: bool,
    baselines: Any,
) -> Explanation:  # fmt: skip
    others = tuple(asked.additional.values()) if isinstance(asked.additional, Mapping) else asked.additional
    given: dict[str, Any] = {} if others is None else {"additional_forward_args": others}
    if takes:
        chosen = aligned_baselines(baselines, inside)
        names = names_of("baselines", inside.template)
        ids = [
            _replacing(name, base, x, inside, asked.tokenizer) if is_ids(x) else base if base is not None else 0.0
            for name, base, x in zip(names, chosen, inside.values, strict=True)
        ]
        given["baselines"] = tuple(ids) if isinstance(inside.template, tuple) else ids[0]
    return explain(inside.forward, inside.template, **given, **arguments)


def _replacing(name: str, base: Any, x: Tensor, inside: InputSite, tokenizer: Any) -> Any:
    if isinstance(base, str) and base == "zero":
        raise invalid_value(name, "'zero'", "ids are replaced by ids here", "'pad', 'mask', 'unk' or an id")
    return 0 if base is None else baseline_ids(name, base, x, inside.forward, tokenizer)


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
    encoded = accept_function("tokenizer", tokenizer, "a Hugging Face tokenizer")(
        list(texts), return_tensors="pt", padding=several
    )
    if not isinstance(encoded, Mapping) or not isinstance(encoded.get("input_ids"), Tensor):
        raise invalid_type("tokenizer", "one without input_ids", "ids are explained", "a Hugging Face tokenizer")
    limit = getattr(tokenizer, "model_max_length", None)
    if encoded["input_ids"].dim() != 2:
        given = f"one that gives ids of shape {tuple(encoded['input_ids'].shape)}"
        raise invalid_value("tokenizer", given, "each text is a row of ids", "a Hugging Face tokenizer")
    length = encoded["input_ids"].shape[1]
    if isinstance(limit, int) and length > limit:
        raise invalid_value("inputs", f"a text of {length} tokens", f"the model reads {limit}", "shorter texts")
    if length == 0:
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
    silent = {"attention_mask": 1, "token_type_ids": 0}
    for name, value in fields.items():
        if name not in parameters and not (name in silent and bool((value == silent[name]).all())):
            raise invalid_value(
                "forward_func",
                f"one without {name}",
                "the tokenizer made some that matter",
                f"a model that takes {name}",
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
