"""What LIME is made of: samples, their similarity, and the fit of an interpretable model."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from pellucid._core.checks import accept_dense, is_finite
from pellucid._core.game import Coalitions, Game
from pellucid._core.masks import slices
from pellucid._core.neighbourhood import ExponentialKernel, draw_masks, share_of_all
from pellucid._core.paired import Budget, all_coalitions, check_same
from pellucid._core.structure import like
from pellucid._core.surrogate import Lasso, LeastSquares, fit_surrogates
from pellucid.errors import InvalidValueError, invalid_type, invalid_value

_BUDGET = 2**24
"""Bytes of perturbed inputs that are held at a time for a similarity function."""


@dataclass(frozen=True)
class LocalValues:
    """What coalitions near an input are worth; what a call that continues another one starts from.

    Attributes:
        coalitions: shape (coalitions, players), bool.
        values: shape (coalitions, *value_shape), float64.
        full: value of all players.
        seed: of the draw.
    """

    coalitions: Tensor
    values: Tensor
    full: Tensor
    seed: int

    def __len__(self) -> int:
        """How many coalitions were evaluated."""
        return len(self.coalitions)


class Fitted(NamedTuple):
    """Fitted models: coefficients and errors of shape (features, E, V), weighted R^2 of shape (E, V).

    Models of the user's have no errors, and no R^2 where they do not predict one number per row.
    """

    coefficients: Tensor
    errors: Tensor | None
    fit: Tensor | None


def accept_model(model: Any) -> Any:
    """Check that something can be fitted."""
    if isinstance(model, Lasso | LeastSquares):
        return model
    made = not isinstance(model, type)
    if not (made and callable(getattr(model, "fit", None)) and callable(getattr(model, "representation", None))):
        raise invalid_type(
            "interpretable_model",
            f"a {type(model).__name__}",
            "it is no object with methods fit and representation",
            "a model of pellucid.attr.models, made (Lasso(), not Lasso)",
        )
    return model


def fit_locally(model: Any, samples: Tensor, weights: Tensor, values: Tensor, drawn: float) -> Fitted:
    """Fit a model to the values of each example and output.

    Args:
        model: a checked model.
        samples: interpretable representations, shape (rows, features).
        weights: shape (rows, E).
        values: shape (rows, E, V).
        drawn: share of all samples that the rows are.

    Returns:
        The fits.
    """
    if isinstance(model, Lasso | LeastSquares):
        found = fit_surrogates(samples, weights, values, model, drawn)
        return Fitted(found.coefficients, found.errors, found.fit)
    features, (examples, outputs) = samples.shape[1], values.shape[1:]
    coefficients = torch.zeros(features, examples, outputs, dtype=torch.float64)
    fit = torch.zeros(examples, outputs, dtype=torch.float64)
    for e, v in torch.cartesian_prod(torch.arange(examples), torch.arange(outputs)).reshape(-1, 2).tolist():
        represented = fit_one(model, samples, weights[:, e], values[:, e, v])
        if represented.numel() != features:
            raise invalid_value(
                "interpretable_model",
                f"one that represents itself by a tensor of shape {tuple(represented.shape)}",
                f"there are {features} features",
                "a model with one coefficient per feature, or LimeBase",
            )
        coefficients[:, e, v] = represented.flatten()
        fit[e, v] = _explained(model, samples.double(), weights[:, e], values[:, e, v])
    return Fitted(coefficients, None, fit if bool(fit.isfinite().all()) else None)


def fit_one(model: Any, samples: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """Fit a model of the user's to the values of one example; its representation."""
    data = TensorDataset(samples.double(), values.double(), weights.double())
    model.fit(DataLoader(data, batch_size=len(samples)))
    found = model.representation()
    return found.detach().cpu() if isinstance(found, Tensor) else torch.as_tensor(found)


def _explained(model: Any, samples: Tensor, weights: Tensor, values: Tensor) -> float:
    predicted = model(samples) if callable(model) else None
    if not isinstance(predicted, Tensor) or predicted.numel() != len(values):
        return torch.nan
    share = weights / weights.sum()
    spread = share @ (values - share @ values).square()
    left = share @ (values - predicted.detach().cpu().double().flatten()).square()
    return float(1 - left / spread) if spread > 0 else 1.0


# -- coalitions of features


@dataclass(frozen=True)
class Neighbourhood:
    """How coalitions near an input are drawn and weighted.

    Attributes:
        similarity: compares inputs.
        perturb: draws samples, if the user has a function for that.
        keywords: what both are given.
    """

    similarity: Callable[..., Any]
    perturb: Iterator[Tensor] | None
    keywords: Mapping[str, Any]

    def extended(self, game: Game, count: int, known: LocalValues) -> LocalValues:
        """Evaluate as many coalitions as asked for in all."""
        if self.perturb is None:
            drawn = draw_masks(game.players, count, known.seed)
            if not torch.equal(drawn[: len(known.coalitions)], known.coalitions):  # a draw that has all there are
                known = replace(known, coalitions=drawn[:0], values=known.values[:0])
            fresh = drawn[len(known.coalitions) :]
        else:
            wanted = count - len(known.coalitions)
            rows = [_coalition(sample, game.players) for _, sample in zip(range(wanted), self.perturb, strict=False)]
            fresh = torch.stack(rows) if rows else known.coalitions[:0]
        values = torch.cat([known.values, game.values(fresh, repeats=self.perturb is not None).cpu()])
        return replace(known, coalitions=torch.cat([known.coalitions, fresh]), values=values)

    def weights(self, game: Game, coalitions: Tensor, per_example: bool) -> Tensor:
        """Weight coalitions for each example, or for the batch as one: shape (coalitions, E)."""
        inputs = game.question.inputs
        if isinstance(self.similarity, ExponentialKernel):
            return self.similarity.of_coalitions(coalitions, game.features, inputs, game.baselines, per_example)
        perturbed = Coalitions(coalitions, game.features, inputs, game.baselines)
        examples = torch.arange(len(inputs[0]))
        groups = [slice(int(e), int(e) + 1) for e in examples] if per_example else [slice(0, len(examples))]
        found = torch.zeros(len(coalitions), len(groups), dtype=torch.float64)
        for part in slices(len(coalitions), sum(x.numel() * x.element_size() for x in inputs), _BUDGET):
            values = perturbed.values(part, examples)
            for k in range(part.stop - part.start):
                interpretable = coalitions[part.start + k : part.start + k + 1].to(inputs[0].dtype)
                for e, group in enumerate(groups):
                    original = like(game.question.template, [x[group] for x in inputs])
                    other = like(game.question.template, [v[k, group] for v in values])
                    found[part.start + k, e] = weight_from(
                        self.similarity, original, other, interpretable, self.keywords
                    )
        return checked_weights(found)


def sample_locally(
    model: Any, neighbourhood: Neighbourhood, game: Game, budget: Budget, begin: LocalValues | int
) -> tuple[LocalValues, Fitted]:
    """Evaluate coalitions near the inputs until the surrogate is good enough.

    Args:
        model: a checked model.
        neighbourhood: how coalitions are drawn and weighted.
        game: what is played.
        budget: how many coalitions.
        begin: what is known, or the seed of the draw.

    Returns:
        The values of the coalitions, and the fits.
    """
    full = game.full.double().cpu()
    if isinstance(begin, LocalValues):
        check_same(begin.coalitions.shape[1], begin.full, game)
        known = begin
    else:
        nobody = torch.zeros(0, game.players, dtype=torch.bool)
        known = LocalValues(nobody, torch.zeros(0, *full.shape, dtype=torch.float64), full, begin)
    per_example = full.dim() > 0 and full.shape[0] == game.question.site.examples
    everything = all_coalitions(game.players) if neighbourhood.perturb is None else budget.most
    count = min(budget.first, everything)
    while True:
        known = neighbourhood.extended(game, count, known)
        if not len(known.coalitions):
            raise nothing_to_fit()
        weights = neighbourhood.weights(game, known.coalitions, per_example)
        values = known.values.reshape(len(weights), weights.shape[1], -1)
        drawn = share_of_all(game.players, len(weights)) if neighbourhood.perturb is None else 0.0
        fitted = fit_locally(model, known.coalitions, weights, values, drawn)
        if fitted.errors is None and budget.tolerance is not None:
            raise invalid_value(
                "tolerance", str(budget.tolerance), "this model has no standard errors", "Lasso() or LeastSquares()"
            )
        error = 0.0 if fitted.errors is None else float(fitted.errors.max())
        count = budget.next(len(known.coalitions), error, everything)
        if not count:
            return known, fitted


def draws(perturb: Callable[..., Any], inputs: Any, keywords: Mapping[str, Any]) -> Iterator[Any]:
    """Draw samples from a function, or from the generator that it returns, without end or as long as this yields.

    Yields:
        Samples.
    """
    first = perturb(inputs, **keywords)
    if isinstance(first, Iterator):
        yield from first
        return
    yield first
    while True:
        yield perturb(inputs, **keywords)


def weight_from(
    similarity: Callable[..., Any], original: Any, other: Any, representation: Any, keywords: Mapping[str, Any]
) -> float:
    """Call a similarity function of the user's, which gives one number."""
    weight = similarity(original, other, representation, **keywords)
    if isinstance(weight, Tensor):
        weight = accept_dense("the weight of similarity_func", weight.detach())
        one = weight.numel() == 1 and not weight.is_complex()
    else:
        one = isinstance(weight, numbers.Real)
    if not one:
        given = f"one that returned a {type(weight).__name__}"
        raise invalid_type("similarity_func", given, "a sample has one weight", "one that returns a number")
    return float(weight) if not isinstance(weight, int) or is_finite(weight) else math.inf


def _coalition(sample: Any, players: int) -> Tensor:
    try:
        found = torch.as_tensor(sample)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        given = f"one that returned a {type(sample).__name__}"
        raise invalid_type(
            "perturb_func", given, "a sample holds zeros and ones", "one that returns tensors"
        ) from error
    shape = tuple(found.shape)
    found = accept_dense("the sample of perturb_func", found).detach().cpu().flatten()
    if len(found) != players or not bool(((found == 0) | (found == 1)).all()):
        raise invalid_value(
            "perturb_func",
            f"one that returned a sample of shape {shape}",
            f"a sample says 0 or 1 for each of {players} features",
            "such a function, or LimeBase, which takes samples of any kind",
        )
    return found == 1


def nothing_to_fit() -> InvalidValueError:
    """Build the error for a function that draws no sample."""
    return invalid_value("perturb_func", "one that yields nothing", "there is nothing to fit", "samples")


def checked_weights(weights: Tensor) -> Tensor:
    """Refuse weights that are negative, not finite or all zero."""
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()) or bool((weights.sum(0) == 0).any()):
        raise invalid_value(
            "similarity_func",
            f"one that returned weights from {float(weights.min()):.3g} to {float(weights.max()):.3g}",
            "weights are finite, not negative and not all zero",
            "such a function, for example get_exp_kernel_similarity_function()",
        )
    return weights
