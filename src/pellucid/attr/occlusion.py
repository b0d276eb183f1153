"""Occlusion: what the output loses when a window that slides over the input is set to the baseline."""

from __future__ import annotations

import math
from typing import Any

import torch

from pellucid._core.door import accept_baselines, accept_optional_count, accept_question
from pellucid._core.forward import perturbing
from pellucid._core.game import answered, expanded
from pellucid._core.masks import slices
from pellucid._core.progress import progress
from pellucid._core.renaming import renamed
from pellucid._core.windows import Occluded, accept_windows
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, TargetLike, Tensors

_SLICE = 2**24
"""Bytes of window positions that are held at a time."""


class Occlusion(PerturbationAttribution):
    """What the output loses when a window that slides over the input is set to the baseline.

    For a value, the mean over the windows w that cover it of

    ``F(x) - F(x with w at the baseline)``

    Windows begin at multiples of the strides; the last one in a dimension may reach beyond the input. Of several
    inputs one is occluded at a time. Law: windows of one value with strides of 1 are feature ablation.

    Example:
        >>> import torch
        >>> from pellucid.attr import Occlusion
        >>> total = lambda x: x.sum(1)
        >>> Occlusion(total).attribute(torch.tensor([[1.0, 2.0, 3.0]]), sliding_window_shapes=(2,))
        tensor([[3., 4., 5.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    """

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(
        sliding_window_shapes="Shape of the window, without the batch dimension and with the channels; for a tuple"
        " of inputs a tuple of shapes.",
        strides="Distance of neighbouring windows: an int, one per dimension, or a tuple with one of these per"
        " input; None is 1. At most the window's size, or values would be left out.",
    )
    def attribute(
        self,
        inputs: Tensors,
        sliding_window_shapes: tuple[int, ...] | tuple[tuple[int, ...], ...],
        strides: int | tuple[int, ...] | tuple[int | tuple[int, ...], ...] | None = None,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
    ) -> Tensors:
        """Set each window to the baseline in turn.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; without a target with a row for each output of each example,
            as for ``FeatureAblation``.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for windows or strides that do not fit the inputs.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        starts = accept_baselines(baselines, question.inputs, inputs, any_values=True)
        windows = accept_windows(sliding_window_shapes, strides, question.inputs, inputs)
        cap = accept_optional_count("perturbations_per_eval", perturbations_per_eval)
        rows = sum(w.total for w in windows) * question.site.examples
        attributions = []
        with (
            progress(show_progress, self.get_name(), rows) as bar,
            perturbing(question, cap, expanded(starts, question.inputs), bar) as evaluator,
        ):
            score = evaluator.score()
            for i, (window, base) in enumerate(zip(windows, starts, strict=True)):
                lost = []
                for part in slices(window.total, 8 * math.prod(window.window), _SLICE):
                    places = window.places(torch.arange(part.start, part.stop))
                    occluded = Occluded(question.inputs, base, i, places)
                    lost.append(score - evaluator.evaluate(occluded))
                # an input without values has no windows
                mean = window.average(torch.cat(lost)) if lost else score.new_zeros(*score.shape, *window.shape)
                attributions.append(mean.flatten(0, score.dim() - 1).to(question.inputs[i].device))
            return answered(evaluator, tuple(attributions))
