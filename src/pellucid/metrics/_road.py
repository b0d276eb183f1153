"""ROAD: removal that leaves no trace of its own, by noisy linear imputation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import is_finite, is_number
from pellucid._core.door import accept_optional_count, accept_question
from pellucid._core.model import with_gradients
from pellucid._core.path import Points
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.structure import wide
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.metrics._asked import accept_attributions
from pellucid.metrics._curve import Curve
from pellucid.metrics._features import ranks
from pellucid.metrics._imputation import imputed
from pellucid.metrics._removal import as_shares, share_sizes
from pellucid.metrics._scoring import Scoring
from pellucid.typing import ForwardFunction, TargetLike

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@with_gradients
@documented(
    inputs="Floating-point images of shape (N, C, H, W).",
    attributions="Attributions of shape (N, C, H, W) or (N, 1, H, W); a pixel's importance is their sum over C.",
    fractions="Shares of the pixels to remove, above 0 and below 1.",
    most_relevant_first="Whether the pixels of the highest attributions go first, or those of the lowest.",
    noise="Standard deviation of the noise on filled pixels, in the units of the inputs.",
)
def road(
    model: ForwardFunction,
    inputs: Tensor,
    attributions: Tensor,
    target: TargetLike = None,
    additional_forward_args: Any = None,
    *,
    fractions: Sequence[float] = TENTHS,
    most_relevant_first: bool = True,
    noise: float = 0.01,
    max_examples_per_batch: int | None = None,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Remove pixels by order of relevance, fill them in from their neighbours, and follow the output.

    A removed pixel becomes the weighted mean of its neighbours (1/6 for those beside it, 1/12 at the corners; the
    equations of all removed pixels are solved together) plus noise, so that a model cannot see from the shape of
    what is missing what was there. The score is the mean output over the shares; in the unit of the output. With
    the most relevant first lower is better, with the least relevant first higher is. (The authors count right
    predictions: pass a function that returns 1 where the class is the predicted one.)

    Example:
        >>> import torch
        >>> from pellucid.metrics import road
        >>> flat = torch.ones(1, 1, 6, 6)  # of a flat picture nothing is lost
        >>> values = road(lambda x: x.mean((1, 2, 3)), flat, torch.rand(1, 1, 6, 6), noise=0.0).values
        >>> bool((values - 1).abs().max() < 1e-5)
        True

    {arguments}

    Returns:
        The outputs over the share of pixels removed, and their mean as the score.

    {raises}

    References:
        Rong, Leemann, Borisov, Kasneci and Kasneci (2022), A Consistent and Efficient Evaluation Strategy for
        Attribution Methods, arXiv:2202.00449.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    images = _images(question.inputs)
    relevance = _relevance(attributions, images)
    if not is_number(noise) or not (is_finite(noise) and noise >= 0):
        raise invalid_value("noise", repr(noise), "a standard deviation is finite and not negative", "a float >= 0")
    counts = torch.full((len(images),), relevance.shape[1], device=images.device)
    sizes = share_sizes(fractions, counts)
    if max(fractions) >= 1:
        raise invalid_value("fractions", str(max(fractions)), "some pixels must be known", "shares below 1")
    sizes = sizes.clamp_max(relevance.shape[1] - 1)
    places = ranks(relevance if most_relevant_first else -relevance, torch.ones_like(relevance, dtype=torch.bool))
    seeds = draw_seeds(sizes.shape[1], generator, seed)
    scoring = Scoring(question, accept_optional_count("max_examples_per_batch", max_examples_per_batch))
    found = scoring.all_along(_Imputed(images, places, sizes, float(noise), tuple(seeds)), "ROAD", show_progress)
    values = found.T.contiguous()
    return Curve("ROAD", values.mean(1), as_shares(sizes, counts, values), values, "share of pixels removed")


def _images(inputs: tuple[Tensor, ...]) -> Tensor:
    shapes = [tuple(x.shape) for x in inputs]
    if len(inputs) != 1 or inputs[0].dim() != 4 or inputs[0][0, 0].numel() < 2:
        shown = ", ".join(map(str, shapes))
        raise invalid_value("inputs", f"of shape {shown}", "ROAD fills pixels from their neighbours", "(N, C, H, W)")
    return inputs[0]


def _relevance(attributions: Any, images: Tensor) -> Tensor:
    """Relevance of each pixel, shape (N, H * W)."""
    given = attributions[0] if isinstance(attributions, tuple) and len(attributions) == 1 else attributions
    if not isinstance(given, Tensor):
        raise invalid_type("attributions", f"a {type(given).__name__}", "images have one map each", "a torch.Tensor")
    channels = images[:, :1] if given.dim() == 4 and given.shape[1] == 1 else images
    (found,) = accept_attributions(given, (channels,))
    return found.to(wide(found.dtype)).sum(1).flatten(1)


@dataclass(frozen=True)
class _Imputed:
    """A path of images with more and more of their pixels filled in."""

    images: Tensor
    places: Tensor
    sizes: Tensor
    noise: float
    seeds: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Number of shares."""
        return self.sizes.shape[1]

    def weights(self, samples: slice) -> Tensor:
        """One for each share."""
        return torch.ones(len(self.seeds[samples]))

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Images of the chosen examples at some shares."""
        at = examples.to(self.images.device)
        images = self.images[at]
        found = []
        for sample in range(self.samples)[samples]:
            removed = self.places[at] < self.sizes[at, sample, None]
            removed = removed.reshape(len(images), *images.shape[2:])
            filled = imputed(images, removed)
            if self.noise:
                shape, generator = self.images.shape, generator_of(self.seeds[sample])
                noise = self.noise * torch.randn(shape, generator=generator, dtype=filled.dtype)[examples.cpu()]
                filled = torch.where(removed[:, None], filled + noise.to(filled.device), filled)
            found.append(filled.to(images.dtype))
        return Points((torch.stack(found),))
