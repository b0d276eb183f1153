"""LIME: a simple model of which features are there, fitted to the output near an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_count, accept_optional_count, accept_question
from pellucid._core.neighbourhood import ExponentialKernel
from pellucid._core.pairs import default_budget
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds
from pellucid._core.regression import Estimate
from pellucid._core.surrogate import Lasso, LeastSquares, fit_surrogates
from pellucid.attr._games import accept_game
from pellucid.attr._local import LocalValues, Neighbourhood, accept_model, draws, fit_one, sample_locally
from pellucid.attr._pairwise import TOLERANCE, accept_budget, accept_state, per_feature, warn_if_unsure
from pellucid.attr._perturbations import Perturbations
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_type
from pellucid.typing import BaselineLike, ForwardFunction, MaskLike, TargetLike, Tensors

SURROGATES = (
    "A surrogate of pellucid.attr.models, or any object with ``fit(train_data)`` and ``representation()``, as"
    " pellucid.attr.models.Model describes."
)


def get_exp_kernel_similarity_function(distance_mode: str = "cosine", kernel_width: float = 1.0) -> ExponentialKernel:
    """Make the similarity ``exp(-distance^2 / (2 kernel_width^2))`` of an input and a perturbed one.

    Args:
        distance_mode: cosine (one minus the cosine of the angle between all values of the inputs) or euclidean.
        kernel_width: distance at which the similarity is ``exp(-1/2)``.

    Returns:
        A function of input, perturbed input and interpretable representation.

    Raises:
        InvalidValueError: for an unknown distance or a width that is not positive.

    Example:
        >>> import torch
        >>> from pellucid.attr import get_exp_kernel_similarity_function
        >>> near = get_exp_kernel_similarity_function("euclidean", kernel_width=2.0)
        >>> round(near(torch.ones(1, 4), torch.zeros(1, 4), None), 4)  # exp(-1/2): they are 2 apart
        0.6065
    """
    return ExponentialKernel(distance_mode, kernel_width)


class LimeBase(PerturbationAttribution):
    """LIME with every piece of one's own: how inputs are perturbed, represented and compared, and what is fitted.

    For samples z of an interpretable space with inputs x(z), it fits the interpretable model g that minimises

    ``sum over z of similarity(x, x(z)) (F(x(z)) - g(z))^2 + penalty(g)``

    and returns its representation. One value is explained: that of one example, or of a whole batch by a function that
    returns one value for it. Law: a model that is linear in z is represented exactly by an unpenalised linear g as
    soon as the samples determine it.

    Example:
        >>> import torch
        >>> from pellucid.attr import LimeBase
        >>> from pellucid.attr.models import LeastSquares
        >>> corners = (torch.tensor([[float(a), float(b)]]) for a in (0, 1) for b in (0, 1))
        >>> lime = LimeBase(
        ...     lambda x: x @ torch.tensor([3.0, -1.0]),
        ...     LeastSquares(),
        ...     similarity_func=lambda original, perturbed, z: 1.0,
        ...     perturb_func=lambda original: corners,
        ...     perturb_interpretable_space=True,
        ...     from_interp_rep_transform=lambda z, original: z * original,
        ...     to_interp_rep_transform=None,
        ... )
        >>> torch.allclose(lime.attribute(torch.tensor([[2.0, 5.0]]), n_samples=4), torch.tensor([[6.0, -5.0]]))
        True

    References:
        Ribeiro, Singh and Guestrin (2016), "Why Should I Trust You?": Explaining the Predictions of Any Classifier,
        arXiv:1602.04938.
    """

    @documented(
        interpretable_model=SURROGATES,
        similarity_func="Function of ``(inputs, perturbed inputs, sample, **kwargs)`` that returns a weight >= 0.",
        perturb_func="Function of ``(inputs, **kwargs)`` that returns a sample, or a generator of samples.",
        perturb_interpretable_space="Whether samples are drawn in the interpretable space, shape (1, features), or are"
        " inputs.",
        from_interp_rep_transform="Function of ``(sample, inputs, **kwargs)`` that returns inputs, if samples are"
        " interpretable.",
        to_interp_rep_transform="Function of ``(sample, inputs, **kwargs)`` that returns the representation, shape (1,"
        " features), if samples are inputs.",
    )
    def __init__(
        self,
        forward_func: ForwardFunction,
        interpretable_model: Any,
        similarity_func: Callable[..., Any],
        perturb_func: Callable[..., Any],
        perturb_interpretable_space: bool,
        from_interp_rep_transform: Callable[..., Any] | None,
        to_interp_rep_transform: Callable[..., Any] | None,
    ) -> None:
        """Explain a function by a surrogate.

        {arguments}
        """
        super().__init__(forward_func)
        self.interpretable_model = accept_model(interpretable_model)
        self.perturbations = Perturbations.accept(
            similarity_func,
            perturb_func,
            perturb_interpretable_space,
            from_interp_rep_transform,
            to_interp_rep_transform,
        )

    @documented(
        n_samples="Number of samples drawn from perturb_func; fewer if its generator ends before.",
        kwargs="Passed on to perturb_func, similarity_func and the transforms.",
    )
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_samples: int = 50,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        """Draw samples, evaluate them and fit the interpretable model.

        {arguments}

        Returns:
            The representation of the interpretable model, shape (1, features) for a linear one.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: if there is more than one value to explain, or a sample or a weight cannot be used.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        count = accept_count("n_samples", n_samples)
        cap = accept_optional_count("perturbations_per_eval", perturbations_per_eval)
        with progress(show_progress, self.get_name(), count) as bar:
            samples, weights, values = self.perturbations.evaluate(question, count, cap, kwargs, bar)
        report.check(samples=len(samples))
        if isinstance(self.interpretable_model, Lasso | LeastSquares):
            model = self.interpretable_model
            fitted = fit_surrogates(samples, weights[:, None], values[:, None, None], model, drawn=0.0)
            found = fitted.coefficients[:, 0].T
            report.keep_fit(fitted.fit)
        else:
            found = fit_one(self.interpretable_model, samples, weights, values)
        floating = [x.dtype for x in question.inputs if x.is_floating_point()]
        return found.to(question.inputs[0].device, floating[0] if floating else found.dtype)


class Lime(PerturbationAttribution):
    """Coefficients of a sparse linear model of which features are there, fitted to the output near the input.

    For random sets of features S, each feature in with chance 1/2, and ``v(S)`` the output when the others have their
    baseline's values, the attributions are the ``b`` that minimise, with weights that sum to one,

    ``1/2 sum over S of similarity(x, x_S) (v(S) - b_0 - sum of b_i over i in S)^2 + penalty(b)``

    By default the similarity is ``exp(-d^2 / 2)`` of the cosine distance d, and the penalty that of a lasso, 1 % of
    the smallest one that makes all b zero. Laws: scaling the output scales the attributions, a constant output gets
    zeros; without a penalty (``LeastSquares()``) the attributions are exact on a model that is additive in the
    features, from n + 1 samples. Weighted R^2 of the fit and standard errors are computed with every call
    (``pellucid.recording``: ``fit``, ``standard_error``).

    Example:
        >>> import torch
        >>> from pellucid.attr import Lime
        >>> from pellucid.attr.models import LeastSquares
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> Lime(linear, LeastSquares()).attribute(torch.tensor([[1.0, 2.0]])).round(decimals=4)
        tensor([[ 3., -4.]])

    References:
        Ribeiro, Singh and Guestrin (2016), "Why Should I Trust You?": Explaining the Predictions of Any Classifier,
        arXiv:1602.04938.
    """

    @documented(
        interpretable_model=SURROGATES + " By default Lasso(share=0.01).",
        similarity_func="Function of ``(input, perturbed input, sample, **kwargs)`` that returns a weight >= 0, with"
        " the keywords baselines, feature_mask and num_interp_features; by default"
        " get_exp_kernel_similarity_function().",
        perturb_func="Function of ``(inputs, **kwargs)``, with the same keywords, that returns a sample, or a generator"
        " of samples: shape (1, features), 1 where a feature is there and 0 where not. All examples share them.",
    )
    def __init__(
        self,
        forward_func: ForwardFunction,
        interpretable_model: Any = None,
        similarity_func: Callable[..., Any] | None = None,
        perturb_func: Callable[..., Any] | None = None,
    ) -> None:
        """Explain a function by local surrogates.

        {arguments}
        """
        super().__init__(forward_func)
        self.interpretable_model = accept_model(Lasso() if interpretable_model is None else interpretable_model)
        for name, function in (("similarity_func", similarity_func), ("perturb_func", perturb_func)):
            if function is not None and not callable(function):
                raise invalid_type(name, f"a {type(function).__name__}", "it is called for each sample", "a function")
        self.similarity_func = ExponentialKernel() if similarity_func is None else similarity_func
        self.perturb_func = perturb_func

    @documented(
        n_samples="Coalitions of features to evaluate, all different. None takes 20 per feature, at least 256, and all"
        " of them if there are no more.",
        tolerance=TOLERANCE,
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        n_samples: int | None = None,
        perturbations_per_eval: int | None = None,
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
        tolerance: float | None = None,
        max_evals: int | None = None,
        start_from: LocalValues | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Fit a surrogate to each example.

        {arguments}

        Returns:
            Attributions of the shape that ``KernelShap`` gives them: that of the inputs, or one value per feature.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        players = setup.features.count
        samples = default_budget(players) if n_samples is None else n_samples
        begin = accept_state(start_from, LocalValues, (generator, seed))
        budget = accept_budget(players, samples, tolerance, max_evals, begin, 2, self.perturb_func is not None)
        keywords = {"baselines": baselines, "feature_mask": feature_mask, "num_interp_features": players}
        perturb = None if self.perturb_func is None else draws(self.perturb_func, inputs, keywords)
        near = Neighbourhood(self.similarity_func, perturb, keywords)
        origin = begin or draw_seeds(1, generator, seed)[0]
        with setup.play(self.get_name(), show_progress, None if tolerance else budget.first) as game:
            found, fitted = sample_locally(self.interpretable_model, near, game, budget, origin)
            shape = (players, *game.full.shape)
            values = fitted.coefficients.reshape(shape)
            report.check(samples=len(found.coalitions), state=found)
            if fitted.fit is not None:
                report.keep_fit(fitted.fit.reshape(game.full.shape))
            if fitted.errors is not None:
                errors = fitted.errors.reshape(shape)
                report.check(standard_error=game.spread(errors))
                warn_if_unsure(self.get_name(), Estimate(values, errors), len(found.coalitions))
            return game.attributions(values) if return_input_shape else per_feature(game, values)
