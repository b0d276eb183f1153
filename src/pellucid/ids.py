"""Integer inputs (tokens, categories) at the embeddings that look them up.

``embed`` turns a model of ids into a model of floating-point values: what every embedding returns for the ids, beside
the floating-point inputs. Any method of ``pellucid.attr`` explains that, along one path for all inputs together, and
``EmbeddedInputs.summed`` gives the result the shape of the ids. ``pellucid.explain`` does so by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.arguments import Arguments
from pellucid._core.checks import shown
from pellucid._core.door import accept_forward, accept_inputs
from pellucid._core.expansion import agree, run_plain
from pellucid._core.lookups import Embedded, Lookups, find_lookups, is_ids
from pellucid._core.model import borrowed, modules_of
from pellucid._core.output import output_tensor
from pellucid._core.site import InputSite
from pellucid._core.structure import like, names_of
from pellucid.errors import CompletenessWarning, invalid_type, invalid_value
from pellucid.typing import ForwardFunction, Tensors

NAMES = ("zero", "pad", "mask", "unk")
"""Baselines of ids that can be chosen by name."""


@dataclass(frozen=True)
class ByName:
    """A function that is called with keywords only.

    Attributes:
        forward_func: the function.
        names: keyword of each argument.
    """

    forward_func: ForwardFunction
    names: tuple[str, ...]

    def __call__(self, *values: Any) -> Any:
        """Call the function."""
        return self.forward_func(**dict(zip(self.names, values, strict=True)))


@dataclass(frozen=True)
class EmbeddedInputs:
    """A model of ids as a model of what its embeddings return (see ``embed``).

    Attributes:
        forward_func: the model, called with ``inputs`` and ``additional_forward_args``.
        inputs: floating-point inputs, then what each call of an embedding returns for ids, shape (N, ..., D).
        baselines: where each of them starts, for methods with a baseline.
        additional_forward_args: the ids themselves, then the arguments as given.
        ids: baselines of the inputs as given: ids, or ``None`` where embeddings start at zero.
    """

    forward_func: ForwardFunction
    inputs: Tensors
    baselines: Any
    additional_forward_args: tuple[Any, ...]
    ids: tuple[Any, ...]
    _lookups: Lookups
    _given: tuple[Tensor, ...]
    _template: Any

    def summed(self, attributions: Tensors) -> Tensors:
        """Sum attributions of ``inputs`` over the vectors of each id, and over its lookups.

        Args:
            attributions: what a method returned for ``inputs``; also with a leading axis for several targets.

        Returns:
            Attributions shaped and structured as the inputs that were given to ``embed``.

        Raises:
            InvalidValueError: if there is not one value per value of ``inputs``.
        """
        values = attributions if isinstance(attributions, tuple) else (attributions,)
        known = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        if len(values) != len(known) or any(a.shape[a.dim() - x.dim() :] != x.shape for a, x in zip(values, known)):  # noqa: B905  (lengths are compared first)
            shapes = [tuple(a.shape) for a in values]
            wanted = f"those of inputs, {[tuple(x.shape) for x in known]}"
            raise invalid_value("attributions", f"of shapes {shapes}", f"their shapes are not {wanted}", wanted)
        plain = [i for i, x in enumerate(self._given) if not is_ids(x)]
        results: list[Tensor | None] = [None] * len(self._given)
        for i, value in zip(plain, values, strict=False):
            results[i] = value
        for lookup, value in zip(self._lookups.found, values[len(plain) :], strict=True):
            found = _per_id(value, lookup.origins, self._given[lookup.input])
            before = results[lookup.input]
            results[lookup.input] = found if before is None else before + found.to(before.device)
        return like(self._template, [r for r in results if r is not None])


def _per_id(value: Tensor, origins: Tensor, ids: Tensor) -> Tensor:
    """Sum vectors (..., N, ..., D) and put each at the id that it belongs to."""
    sums = value.sum(-1)
    lead = sums.shape[: sums.dim() - origins.dim()]
    flat = sums.reshape(*lead, -1)
    place = origins.reshape(-1).to(flat.device).expand_as(flat)
    found = flat.new_zeros((*lead, ids.numel() + 1)).scatter_add(-1, place, flat)
    return found[..., 1:].reshape(*lead, *ids.shape)


def embed(
    forward_func: ForwardFunction,
    inputs: Tensors | Mapping[str, Tensor],
    baselines: Any = None,
    additional_forward_args: Any = None,
    *,
    tokenizer: Any = None,
) -> EmbeddedInputs:
    """Turn a model of ids into a model of what its embeddings look up for them.

    The model runs once, and ids are followed to the calls of ``torch.nn.Embedding`` and ``EmbeddingBag`` that they
    reach: also shared ones, columns with an embedding each, and ids that are moved or offset on the way. Embeddings of
    other numbers, such as positions, are not touched. What the model does with ids otherwise (masks, comparisons) is
    held at the inputs; where that matters to the difference from a baseline of ids, it is warned about.
    Law (completeness): a complete method's sums over ids and floating-point inputs together make up the difference of
    outputs between ``inputs`` and ``baselines``.

    Example:
        >>> import torch
        >>> from pellucid import embed
        >>> from pellucid.attr import IntegratedGradients
        >>> _ = torch.manual_seed(0)
        >>> table = torch.nn.Embedding(10, 3).double()
        >>> model = lambda ids: table(ids).prod(1).sum(1)
        >>> ids = torch.tensor([[1, 5, 1]])
        >>> found = embed(model, ids, baselines=0)  # the id 0 in the place of each
        >>> attributions = IntegratedGradients(found.forward_func).attribute(
        ...     found.inputs, found.baselines, additional_forward_args=found.additional_forward_args
        ... )
        >>> per_id = found.summed(attributions)
        >>> per_id.shape, torch.allclose(per_id.sum(), model(ids) - model(0 * ids))
        (torch.Size([1, 3]), True)

    Args:
        forward_func: the model to explain: a torch.nn.Module or any callable.
        inputs: a tensor, a tuple of tensors, or a mapping with the tensors by the keywords under which the model takes
            them. Integers are ids, and floating-point tensors are explained as they are.
        baselines: one for each input, in the same structure. For ids: None or "zero" (zero vectors), "pad", "mask" or
            "unk" (the tokenizer's; "pad" also the model's), an id, or a tensor of ids with 1, N or, for methods with
            distributions, any number of rows. For others as everywhere.
        additional_forward_args: further arguments that are not explained, one or a tuple; a mapping by keyword if
            inputs is one.
        tokenizer: Hugging Face tokenizer of the ids. Its special tokens and padding then keep their vectors in
            baselines by name or of one id.

    Returns:
        The model, inputs, baselines and arguments to give to a method.

    Raises:
        InvalidTypeError: for inputs or baselines of a wrong type.
        InvalidValueError: for ids that reach no embedding, or baselines that do not fit.
        UnsupportedModelError: for embeddings of numbers that are made of several ids.
    """
    inside = accepted(forward_func, inputs, additional_forward_args)
    given = inside.values
    if not any(map(is_ids, given)):
        raise invalid_type("inputs", "without integers", "there is nothing to embed", "ids among the inputs")
    chosen = aligned_baselines(baselines, inside)
    device = given[0].device
    with borrowed(inside.forward, device):
        lookups = find_lookups(inside)
        ids = tuple(
            baseline_ids(name, base, x, inside.forward, tokenizer) if is_ids(x) else base
            for name, base, x in zip(names_of("baselines", inside.template), chosen, given, strict=True)
        )
        kept = tuple(kept_ids(x, base, tokenizer) if is_ids(x) else None for x, base in zip(given, chosen, strict=True))
        starts = _starts(inside, lookups, ids, kept)
    slots = tuple(map(is_ids, given))
    plain = [x for x in given if not is_ids(x)]
    values = (*plain, *(lookup.value for lookup in lookups.found))
    begins = (*(0.0 if b is None else b for b, x in zip(ids, given, strict=True) if not is_ids(x)), *starts)
    template: Any = values if len(values) > 1 else None
    return EmbeddedInputs(
        Embedded(inside.forward, lookups, slots),
        like(template, values),
        begins if len(values) > 1 else begins[0],
        (*(x for x in given if is_ids(x)), *_additional(inside, additional_forward_args)),
        ids,
        lookups,
        given,
        inside.template,
    )


def accepted(forward_func: Any, inputs: Any, additional: Any) -> InputSite:
    """Check inputs and arguments that may be given by keyword, and give them an order."""
    forward = accept_forward(forward_func)
    if isinstance(inputs, Mapping):
        if additional is not None and not isinstance(additional, Mapping):
            raise invalid_type(
                "additional_forward_args",
                f"a {type(additional).__name__}",
                "inputs are given by keyword",
                "a mapping by keyword too",
            )
        others = dict(additional or {})
        twice = sorted(set(inputs) & set(others))
        if twice:
            raise invalid_value("additional_forward_args", f"with {twice[0]!r}", "inputs holds it too", "it once")
        forward = ByName(forward, (*inputs, *others))
        inputs = tuple(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values()), ())
        additional = tuple(others.values())
    values = accept_inputs(inputs, any_values=True)
    return InputSite(forward, values, Arguments.accept(additional, len(values[0])), inputs)


def _additional(inside: InputSite, given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    if isinstance(given, Mapping) and isinstance(inside.forward, ByName):
        return tuple(given.values())
    return given if isinstance(given, tuple) else (given,)


def aligned_baselines(baselines: Any, inside: InputSite) -> tuple[Any, ...]:
    """Give one baseline per input."""
    count = len(inside.values)
    if baselines is None:
        return (None,) * count
    if isinstance(baselines, Mapping) and isinstance(inside.forward, ByName):
        names = inside.forward.names[:count]
        unknown = [name for name in baselines if name not in names]
        if unknown:
            raise invalid_value("baselines", f"with {unknown[0]!r}", "it is no input", f"some of {', '.join(names)}")
        return tuple(baselines.get(name) for name in names)
    if not isinstance(inside.template, tuple):
        baselines = (baselines,) if not isinstance(baselines, tuple) else baselines
    if not isinstance(baselines, tuple) or len(baselines) != count:
        given = f"a tuple of {len(baselines)}" if isinstance(baselines, tuple) else f"a {type(baselines).__name__}"
        raise invalid_type("baselines", given, f"there are {count} inputs", "a tuple with one per input")
    return baselines


def baseline_ids(name: str, base: Any, x: Tensor, forward: Any, tokenizer: Any) -> Tensor | None:
    """Turn a baseline of ids into ids with 1, N or any number of rows; ``None`` stands for zero vectors."""
    if base is None or (isinstance(base, str) and base == "zero"):
        return None
    if isinstance(base, Tensor):
        if not is_ids(base):
            raise invalid_type(name, f"of dtype {base.dtype}", "the input holds ids", "a tensor of ids")
        if base.dim() != x.dim() or base.shape[1:] != x.shape[1:] or not len(base):
            shape = f"({', '.join(['1 or N', *map(str, x.shape[1:])])})"
            raise invalid_value(
                name, f"of shape {tuple(base.shape)}", f"the ids have shape {tuple(x.shape)}", f"shape {shape}"
            )
        return base.detach().to(x)
    if isinstance(base, str):
        number = _number(name, base, forward, tokenizer)
    elif isinstance(base, int) and not isinstance(base, bool):
        number = base
    else:
        raise invalid_type(
            name, f"a {type(base).__name__}", "the input holds ids", f"one of {', '.join(NAMES)}, an id, or ids"
        )
    if not 0 <= number <= torch.iinfo(x.dtype).max:
        raise invalid_value(name, shown(number), f"the ids have dtype {x.dtype}", "an id that the embedding knows")
    kept = kept_ids(x, base, tokenizer)
    filled = torch.full_like(x if kept is not None else x[:1], number)
    return filled if kept is None else torch.where(kept, x, filled)


def _number(argument: str, name: str, forward: Any, tokenizer: Any) -> int:
    if name not in NAMES:
        raise invalid_value(argument, repr(name), "there is no such baseline", f"one of {', '.join(NAMES)}, or an id")
    found = getattr(tokenizer, f"{name}_token_id", None)
    if found is None and name == "pad":
        configs = (getattr(module, "config", None) for module in modules_of(forward))
        known = {int(i) for config in configs if (i := getattr(config, "pad_token_id", None)) is not None}
        tables = (getattr(module, "padding_idx", None) for module in modules_of(forward))
        known = known or {int(i) for i in tables if i is not None}
        found = known.pop() if len(known) == 1 else None
    if found is None:
        why = "the tokenizer has no such token" if tokenizer is not None else "its id is not known"
        raise invalid_value(argument, repr(name), why, "the tokenizer that has it, its id, or 'zero'")
    return int(found)


def special_ids(tokenizer: Any) -> set[int]:
    """List the ids that a tokenizer adds to texts: beginnings, ends, separators, padding, but no unknown words."""
    frame = {getattr(tokenizer, f"{name}_token_id", None) for name in ("cls", "sep", "bos", "eos", "pad")}
    words = {getattr(tokenizer, f"{name}_token_id", None) for name in ("unk", "mask")}
    return (set(getattr(tokenizer, "all_special_ids", ())) - (words - frame)) - {None}


def kept_ids(x: Tensor, base: Any, tokenizer: Any) -> Tensor | None:
    """Tell which ids keep their vectors in the baseline: special tokens, unless the baseline is given id by id."""
    if tokenizer is None or isinstance(base, Tensor):
        return None
    return torch.isin(x, torch.tensor(sorted(special_ids(tokenizer)), dtype=x.dtype, device=x.device))


def _starts(
    inside: InputSite, lookups: Lookups, ids: tuple[Any, ...], kept: tuple[Tensor | None, ...]
) -> tuple[Tensor, ...]:
    """Give what each lookup returns at the baseline."""
    rows = [len(b) for b, x in zip(ids, inside.values, strict=True) if is_ids(x) and b is not None]
    drawn = bool(rows) and max(rows) not in {1, inside.examples}
    count = max(rows, default=1)
    mixed = [r for r in rows if r not in {1, count}]
    if mixed:
        raise invalid_value("baselines", f"of {mixed[0]} and {count} rows", "row j of all belongs together", "as many")
    flowed = _looked_up(inside, lookups, ids, count) if rows else None
    found = []
    for number, lookup in enumerate(lookups.found):
        zero = ids[lookup.input] is None
        start = torch.zeros_like(lookup.value) if zero or flowed is None else flowed[number]
        if not (drawn and not zero):
            held = _held(lookup.origins, kept[lookup.input])
            start = torch.where(held[..., None], lookup.value, start.expand_as(lookup.value))
        found.append(start[:1] if bool((start == start[:1]).all()) else start)
    return tuple(found)


def _held(origins: Tensor, kept: Tensor | None) -> Tensor:
    """Tell which vectors do not move: those of no id of the inputs, and of ids that are kept."""
    held = origins == 0
    if kept is None:
        return held
    flat = torch.cat([kept.new_ones(1), kept.reshape(-1)])
    return held | flat[origins]


def _looked_up(inside: InputSite, lookups: Lookups, ids: tuple[Any, ...], count: int) -> tuple[Tensor, ...]:
    """Run the model on baselines of ids, a batch of as many rows as there are examples at a time."""
    n = inside.examples
    parts = []
    for start in range(0, count, n):
        chosen = torch.arange(start, start + n) % count
        values = tuple(
            b.expand(count, *b.shape[1:])[chosen.to(b.device)] if is_ids(x) and b is not None else x
            for b, x in zip(ids, inside.values, strict=True)
        )
        try:
            looked, output = lookups.values_at(inside, values)
        except IndexError as error:
            given = "with ids that the model cannot look up"
            raise invalid_value("baselines", given, str(error), "ids that the embedding knows") from error
        parts.append(looked)
        if count in {1, n} and lookups.otherwise:
            _warn_of_other_uses(inside, lookups, ids, looked, output)
    return tuple(torch.cat(part)[:count] if count > 1 else part[0] for part in zip(*parts, strict=True))


def _warn_of_other_uses(
    inside: InputSite, lookups: Lookups, ids: tuple[Any, ...], looked: tuple[Tensor, ...], output: Tensor
) -> None:
    """Compare the model at ids of the baseline with the model at the inputs where only their vectors are changed."""
    slots = tuple(map(is_ids, inside.values))
    plain = [x for x in inside.values if not is_ids(x)]
    starts = [
        lookup.value if ids[lookup.input] is None else torch.where((lookup.origins == 0)[..., None], lookup.value, new)
        for lookup, new in zip(lookups.found, looked, strict=True)
    ]
    own = [x for x in inside.values if is_ids(x)]
    beside = replace(inside, forward=Embedded(inside.forward, lookups, slots))
    report.count(inside.examples)
    values = (*plain, *starts)

    def run(lent: tuple[Tensor, ...]) -> Tensor:
        return output_tensor(beside.run_whole((*lent, *(x.clone() for x in own))))

    held = run_plain(run, values).detach()
    if not agree(held, output):
        gap = float((held - output).abs().max()) if held.shape == output.shape else float("nan")
        report.notify(
            CompletenessWarning,
            "The model uses ids also beside their embeddings (masks, positions, comparisons). That is held at the"
            f" inputs: attributions sum to a difference of outputs that is up to {gap:.3g} away from that between"
            " the inputs and the ids of the baseline. Baselines by id or 'zero' may avoid that.",
        )
