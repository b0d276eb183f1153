"""Attributions of a metric over a whole data set: features are replaced in every batch of a loader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.checks import accept_dense, accept_function
from pellucid._core.door import accept_baselines, accept_optional_count
from pellucid._core.estimators import AllSubsets, solve
from pellucid._core.expansion import run_plain
from pellucid._core.game import Coalitions
from pellucid._core.masks import accept_features
from pellucid._core.model import borrowed
from pellucid._core.output import any_output
from pellucid._core.progress import Progress, progress
from pellucid.attr.attribution import Attribution
from pellucid.attr.feature_ablation import FeatureAblation
from pellucid.attr.shapley_values import ShapleyValues, require_few
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import BaselineLike, MaskLike, Tensors

PER_PASS = 64
"""Perturbations evaluated in one pass over the loader, unless the caller says otherwise."""


class InputRole(IntEnum):
    """What becomes of an element of a batch."""

    need_attr = 0
    """It is passed to the function and explained."""
    need_forward = 1
    """It is passed to the function."""
    no_forward = 2
    """It is seen by ``reduce`` only, as labels are."""


Reduce = Callable[[Any, Any, Any], Any]
"""From the state so far (None at first), the output of a batch and the batch to the next state."""


class DataLoaderAttribution(Attribution):
    """What a metric over a data set loses when a feature is replaced in every example.

    With ``M(S)`` the metric when only the features in S are there, the others at their baseline, in all batches:
    ``M(all) - M(all but i)`` for ``FeatureAblation``, and the Shapley values of M for ``ShapleyValues``. The metric
    is ``to_metric`` of what ``reduce`` makes of all batches; without these the outputs of all examples are the
    metrics. Law: for a metric that sums over examples, the attributions are the sums of those of the examples.

    The loader is gone through several times if there are many features, so it must give the same batches each time:
    their contents are compared, and a loader that shuffles is refused.

    Example:
        >>> import torch
        >>> from pellucid.attr import DataLoaderAttribution, FeatureAblation
        >>> batches = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])]
        >>> total = lambda state, output, batch: output.sum() + (0 if state is None else state)
        >>> method = DataLoaderAttribution(FeatureAblation(lambda x: x @ torch.tensor([1.0, 10.0])))
        >>> method.attribute(batches, reduce=total)
        tensor([[  9., 120.]])

    References:
        Fisher, Rudin and Dominici (2019), All Models are Wrong, but Many are Useful, arXiv:1801.01489; Covert,
        Lundberg and Lee (2020), Understanding Global Feature Contributions With Additive Importance Measures,
        arXiv:2004.00668.
    """

    @documented(attr_method="FeatureAblation or ShapleyValues of the function to explain.")
    def __init__(self, attr_method: Attribution) -> None:
        """Explain a function over a data set.

        {arguments}
        """
        if not isinstance(attr_method, FeatureAblation | ShapleyValues):
            raise invalid_type(
                "attr_method",
                f"a {type(attr_method).__name__}",
                "it does not work on coalitions of features",
                "FeatureAblation(model) or ShapleyValues(model)",
            )
        super().__init__(attr_method.forward_func)
        self.attr_method = attr_method

    @documented(
        dataloader="What gives the batches: a tensor each, or a tuple, list or dict of elements. The elements of a"
        " dict are passed to the function by name.",
        input_roles="An InputRole (or its number) for each element, a dict of them for dicts; None explains all.",
        baselines="... One row, for the explained elements only.",
        feature_mask="... One row, for the explained elements only.",
        reduce="A function of the state so far (None at first), the output of a batch and the batch, that returns"
        " the next state; None joins the outputs.",
        to_metric="Makes a tensor of metrics, or a number, of the last state; None takes it as it is.",
        perturbations_per_pass="Perturbations evaluated in one pass over the loader; None takes up to 64.",
        return_input_shape="Whether attributions are shaped like the elements, or are one value per feature.",
    )
    def attribute(
        self,
        dataloader: Iterable[Any],
        input_roles: tuple[int, ...] | list[int] | Mapping[str, int] | None = None,
        baselines: BaselineLike = None,
        feature_mask: MaskLike = None,
        reduce: Reduce | None = None,
        to_metric: Callable[[Any], Any] | None = None,
        perturbations_per_pass: int | None = None,
        show_progress: bool = False,
        return_input_shape: bool = True,
    ) -> Tensors | dict[str, Tensor]:
        """Replace features in every batch.

        {arguments}

        Returns:
            For each explained element a tensor of shape ``(metrics, *shape of an example)``, in the structure of the
            batches; with ``return_input_shape=False`` one tensor of shape (metrics, features).

        Raises:
            InvalidTypeError: for arguments of a wrong type, or a loader that can be gone through once only.
            InvalidValueError: for a loader whose batches change between passes, or roles, masks and baselines that do
                not fit the batches.
        """
        per_pass = accept_optional_count("perturbations_per_pass", perturbations_per_pass) or PER_PASS
        joining = _joined if reduce is None else accept_function("reduce", reduce)
        measuring = _as_it_is if to_metric is None else accept_function("to_metric", to_metric)
        with (
            borrowed(self.forward_func, torch.device("cpu")),
            progress(show_progress, self.get_name(), None, "batch") as bar,
        ):
            passes = _Passes(self.forward_func, dataloader, input_roles, per_pass, bar)
            game = _LoaderGame(passes, baselines, feature_mask, joining, measuring)
            everyone = torch.ones(1, game.players, dtype=torch.bool)
            if isinstance(self.attr_method, ShapleyValues):
                require_few(game.features)
                estimator = AllSubsets(game.players, game.values(everyone)[0])
                solve(game.values, estimator)
                found = estimator.result
            else:
                found = game.values(torch.cat([everyone, ~torch.eye(game.players, dtype=torch.bool)]))
                found = found[0] - found[1:]
        if not return_input_shape:
            return found.T.contiguous()
        return passes.structured(game.spread(found))


class _Passes:
    """Goes through a loader, splits its batches by role, and watches that they stay the same."""

    def __init__(self, forward: Any, loader: Any, roles: Any, per_pass: int, bar: Progress) -> None:
        if not isinstance(loader, Iterable) or isinstance(loader, Iterator | Tensor):
            raise invalid_type(
                "dataloader",
                f"a {type(loader).__name__}",
                "it must give its batches again for each pass",
                "a DataLoader or a list of batches",
            )
        self.forward = forward
        self.loader = loader
        self.per_pass = per_pass
        self.bar = bar
        self.first = next(iter(loader), None)
        if self.first is None:
            raise invalid_value("dataloader", "empty", "there is nothing to explain", "a loader with batches")
        elements = _elements(self.first)
        self.roles = _accept_roles(roles, elements)
        self._seen: list[bytes] | None = None

    def explained(self, batch: Any) -> tuple[Tensor, ...]:
        """The explained elements of a batch."""
        elements = _elements(batch)
        if set(elements) != set(self.roles):
            given, why = f"one with elements {list(elements)}", f"those of the first batch are {list(self.roles)}"
            raise invalid_value("dataloader", given, why, "batches of one form")
        return tuple(elements[name] for name, role in self.roles.items() if role == InputRole.need_attr)

    def __call__(self) -> Iterator[Any]:
        """Go through the loader once.

        Yields:
            Each batch, once it is known to be the one that was there in the first pass.
        """
        seen = []
        for batch in self.loader:
            seen.append(_fingerprint(batch))
            if self._seen is not None and seen != self._seen[: len(seen)]:
                raise _changing(len(seen))
            yield batch
        if self._seen is not None and len(seen) != len(self._seen):
            raise _changing(len(seen) + 1)
        self._seen = seen

    def replaced(self, batch: Any, values: tuple[Tensor, ...]) -> dict[Any, Any]:
        """The elements of a batch with other values of those that are explained."""
        names = [name for name, role in self.roles.items() if role == InputRole.need_attr]
        return {**_elements(batch), **dict(zip(names, values, strict=True))}

    def run(self, elements: dict[Any, Any], rows: int) -> Any:
        """Run the function on the elements of a batch."""
        passed = {name: elements[name] for name, role in self.roles.items() if role != InputRole.no_forward}
        tensors = {name: value for name, value in passed.items() if isinstance(value, Tensor)}

        def call(lent: tuple[Tensor, ...]) -> Any:
            given = {**passed, **dict(zip(tensors, lent, strict=True))}
            if isinstance(self.first, Mapping):
                return self.forward(**given)
            return self.forward(*given.values())

        report.count(rows)
        self.bar.update(1)
        return run_plain(call, tuple(tensors.values()))

    def batch_like(self, elements: dict[Any, Any]) -> Any:
        """What ``reduce`` sees of a batch: a tuple, or a dict for dicts."""
        return elements if isinstance(self.first, Mapping) else tuple(elements.values())

    def structured(self, values: tuple[Tensor, ...]) -> Tensors | dict[str, Tensor]:
        """Attributions in the structure of the batches."""
        names = [name for name, role in self.roles.items() if role == InputRole.need_attr]
        if isinstance(self.first, Mapping):
            return dict(zip(names, values, strict=True))
        return values[0] if isinstance(self.first, Tensor) else values


class _LoaderGame:
    """A metric over a loader as a game between features."""

    def __init__(
        self, passes: _Passes, baselines: Any, mask: Any, reduce: Reduce, to_metric: Callable[[Any], Any]
    ) -> None:
        self.passes = passes
        self.reduce = reduce
        self.to_metric = to_metric
        first = passes.explained(passes.first)
        _check_explained(first)
        template = first if len(first) > 1 or isinstance(mask, tuple) or isinstance(baselines, tuple) else first[0]
        self.features = accept_features(mask, first, template)
        self.baselines = accept_baselines(baselines, first, template, any_values=True)
        self.dtypes = tuple(x.dtype if x.is_floating_point() else torch.float64 for x in first)
        if self.features.per_example or any(len(base) > 1 for base in self.baselines):
            name = "feature_mask" if self.features.per_example else "baselines"
            raise invalid_value(name, "with several rows", "batches have rows of their own", "one row for all")

    @property
    def players(self) -> int:
        """Number of features."""
        return self.features.count

    def values(self, coalitions: Tensor) -> Tensor:
        """Metrics of coalitions, shape (m, metrics), in float64."""
        return torch.cat([self._pass(part) for part in torch.split(coalitions, self.passes.per_pass)])

    def _pass(self, coalitions: Tensor) -> Tensor:
        states: list[Any] = [None] * len(coalitions)
        for batch in self.passes():
            inputs = self._checked(self.passes.explained(batch))
            perturbed = Coalitions(coalitions, self.features, inputs, self.baselines)
            for k in range(len(coalitions)):
                values = perturbed.values(slice(k, k + 1), torch.arange(len(inputs[0])))
                elements = self.passes.replaced(batch, tuple(v[0] for v in values))
                output = self.passes.run(elements, len(inputs[0]))
                states[k] = self.reduce(states[k], output, self.passes.batch_like(elements))
        return torch.stack([any_output(self.to_metric(state)).double().flatten() for state in states])

    def _checked(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        _check_explained(inputs)
        shapes = tuple(x.shape[1:] for x in inputs)
        if shapes != self.features.shapes:
            raise invalid_value(
                "dataloader",
                f"with examples of shapes {[tuple(s) for s in shapes]}",
                f"those of the first batch have {[tuple(s) for s in self.features.shapes]}",
                "batches with the same features",
            )
        return inputs

    def spread(self, found: Tensor) -> tuple[Tensor, ...]:
        """Give each value what its feature has."""
        return tuple(self.features.spread(i, found).to(dtype) for i, dtype in enumerate(self.dtypes))


def _joined(state: Any, output: Any, batch: Any) -> Any:
    """Join the outputs of batches."""
    del batch
    found = any_output(output)
    found = found if found.dim() else found.reshape(1)
    if state is not None and found.shape[1:] != state.shape[1:]:
        given, why = f"one with outputs of shape {tuple(found.shape)}", f"those before have shape {tuple(state.shape)}"
        raise invalid_value("forward_func", given, why, "a function whose outputs can be joined, or reduce=")
    return found if state is None else torch.cat([state, found])


def _check_explained(values: tuple[Any, ...]) -> None:
    """Check the explained elements of a batch."""
    for value in values:
        if not isinstance(value, Tensor) or accept_dense("the dataloader's element", value).dim() == 0:
            given = f"with a {type(value).__name__} in the place of rows"
            raise invalid_type("dataloader", given, "what is explained are tensors with rows", "other input_roles")
        if value.is_complex():
            raise invalid_type("dataloader", f"with elements of {value.dtype}", "features are real", "real values")
        if len(value) != len(values[0]) or not len(value):
            given = f"with elements of {[len(v) for v in values]} rows"
            raise invalid_value("dataloader", given, "row i of each belongs to example i", "as many rows in each")


def _as_it_is(state: Any) -> Any:
    return state


def _elements(batch: Any) -> dict[Any, Any]:
    """The elements of a batch by name or place."""
    if isinstance(batch, Mapping):
        return dict(batch)
    if isinstance(batch, tuple | list):
        return dict(enumerate(batch))
    if isinstance(batch, Tensor):
        return {0: batch}
    raise invalid_type(
        "dataloader",
        f"with batches of type {type(batch).__name__}",
        "their elements are not known",
        "batches that are tensors, or tuples, lists or dicts",
    )


def _accept_roles(roles: Any, elements: dict[Any, Any]) -> dict[Any, InputRole]:
    given = dict.fromkeys(elements, 0) if roles is None else roles
    if not isinstance(given, Mapping | list | tuple):
        raise invalid_type("input_roles", f"a {type(roles).__name__}", "each element has one", "a tuple, list or dict")
    named = dict(given) if isinstance(given, Mapping) else dict(zip(elements, given, strict=False))
    if set(named) != set(elements) or len(given) != len(elements):
        raise invalid_value(
            "input_roles", f"{roles}", f"a batch has the elements {list(elements)}", "one InputRole for each"
        )
    known = {int(role) for role in InputRole}
    wrong = [
        role for role in named.values() if not isinstance(role, int) or isinstance(role, bool) or role not in known
    ]
    if wrong:
        raise invalid_value("input_roles", f"with {wrong[0]!r}", "there is no such role", "an InputRole, or 0, 1 or 2")
    found = {name: InputRole(named[name]) for name in elements}
    explained = [elements[name] for name, role in found.items() if role == InputRole.need_attr]
    if not explained or any(not isinstance(value, Tensor) or value.dim() == 0 for value in explained):
        raise invalid_value(
            "input_roles",
            f"{roles}",
            "what is explained must be tensors with rows, at least one",
            "InputRole.need_attr for tensors, and other roles for other elements",
        )
    return found


def _fingerprint(batch: Any) -> bytes:
    """A digest of a batch's contents."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _contents(batch):
        digest.update(part)
    return digest.digest()


def _contents(value: Any) -> Iterator[Any]:
    """The bytes of tensors, numbers and texts in a batch; other objects by their type only.

    Yields:
        Buffers.
    """
    if isinstance(value, Tensor):
        flat = accept_dense("the dataloader's element", value).detach().cpu().contiguous().flatten()
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield flat.view(torch.uint8).numpy().data if flat.numel() else b""
    elif isinstance(value, Mapping | tuple | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in pairs:
            yield repr(name).encode()
            yield from _contents(part)
    else:
        yield (repr(value) if isinstance(value, str | bytes | int | float) else type(value).__name__).encode()


def _changing(batch: int) -> Exception:
    return invalid_value(
        "dataloader",
        f"one whose batch {batch} is another one in a later pass",
        "unrelated rows would be compared",
        "a loader with shuffle=False and without random transforms, or perturbations_per_pass large enough for a"
        " single pass (the number of features and one more)",
    )
