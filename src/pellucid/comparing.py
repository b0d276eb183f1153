"""``pellucid.compare``: which method explains this model best?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pellucid._core.door import accept_baselines, accept_question, accept_samples
from pellucid._core.output import SelectedOutput
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.report import Notice, recording
from pellucid._core.site import Question
from pellucid._core.structure import like, wide
from pellucid.comparison import Comparison
from pellucid.errors import PellucidError, invalid_type, invalid_value
from pellucid.explaining import check_arguments, explain, method_info, plain_outputs, predicted_classes
from pellucid.explanation import Explanation
from pellucid.metrics import MetricInfo, Setting, metric_named
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors

METHODS = ("saliency", "input_x_gradient", "integrated_gradients", "deep_lift", "smoothgrad")
"""What is compared by default: these need no more than the model."""
METRIC_NAMES = ("deletion", "insertion", "faithfulness_correlation", "sensitivity_max", "sparseness")
"""How it is judged by default."""
WITH_TRUTH = ("relevance_mass_accuracy", "relevance_rank_accuracy")
"""What is added where the evidence is known."""


def compare(
    model: ForwardFunction,
    inputs: Tensors,
    methods: Sequence[Any] | Mapping[str, Any] = METHODS,
    metrics: Sequence[str | MetricInfo] | None = None,
    target: TargetLike = None,
    *,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    feature_mask: Tensors | None = None,
    ground_truth: Tensor | None = None,
    output: str | int | None = None,
    confidence: float = 0.95,
    n_random: int = 5,
    seed: int = 0,
) -> Comparison:
    """Run several methods on the same inputs, score each with several metrics, and say what that is worth.

    Where a metric can tell an explanation from chance, each method is compared with random attributions of the same
    examples: normal values of the methods' mean size, ``n_random`` draws per example. Intervals are Student's over the
    examples, of means and of paired differences.

    Example:
        >>> import pellucid, torch
        >>> weights = torch.tensor([4.0, -2.0, 1.0, 0.5])
        >>> model = lambda x: x @ weights
        >>> x = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
        >>> found = pellucid.compare(model, x, ["saliency", "input_x_gradient"], ["faithfulness_correlation"])
        >>> found.best("faithfulness_correlation"), found.beats_random("input_x_gradient")
        ('input_x_gradient', ('faithfulness_correlation',))

    Args:
        model: what is explained, a module or any callable.
        inputs: floating-point tensor of shape (N, ...), or a tuple of such tensors with the same N. Ten examples and
            more make intervals that say something.
        methods: what ``pellucid.explain(method=...)`` takes, each; or a mapping from names of your own to such, or to
            pairs of one and a dict of its arguments.
        metrics: names in ``pellucid.metrics.METRICS`` or ``MetricInfo`` of your own; by default deletion, insertion,
            faithfulness correlation, maximal sensitivity and sparseness, with ground truth also localisation.
        target: which output of each example is explained; ``None`` takes the predicted class where there are classes.
        baselines: what removed features become, and the baseline of the methods that take one; ``None`` is zero.
        additional_forward_args: further arguments of the model, as for ``explain``.
        feature_mask: which values the metrics remove together, such as the channels of a pixel.
        ground_truth: where the evidence is, a mask per example, for the metrics of localisation.
        output: which tensor of an output that holds several, as for ``explain``.
        confidence: of the intervals, between 0 and 1.
        n_random: draws of random attributions per example.
        seed: of everything that is drawn; two calls give the same numbers.

    Returns:
        The comparison: a table (``str``), ``.plot()``, ``.to_html()``, ``.best(metric)`` and ``.verdict()``. A method
        that the model rules out stands in ``.refused`` with the reason.

    Raises:
        InvalidTypeError: for arguments of a wrong type, or an argument that a method needs or does not have.
        InvalidValueError: for unknown methods or metrics, or arguments that do not fit together.
        PellucidError: what the methods said, if all of them were refused.
    """
    forward = model if output is None else SelectedOutput(model, output)
    question = accept_question(forward, inputs, target, additional_forward_args)
    accept_baselines(baselines, question.inputs, inputs)
    accept_samples("n_random", n_random)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 < confidence < 1:
        raise invalid_value("confidence", repr(confidence), "it is a probability", "a number between 0 and 1")
    infos = _metrics(metrics, forward, question, ground_truth)
    contestants = _contestants(methods, baselines, seed)
    chosen = predicted_classes(plain_outputs(question)) if target is None else target
    common = Setting(
        forward, inputs, inputs, chosen, baselines, additional_forward_args, feature_mask, ground_truth, seed=seed
    )
    found: dict[_Contestant, _Judged] = {}
    refused: dict[str, PellucidError] = {}
    for contestant in contestants:
        try:
            found[contestant] = _judged(contestant, common, infos)
        except PellucidError as error:
            refused[contestant.name] = error
    if not found:
        raise next(iter(refused.values()))
    random = _random(infos, common, [judged.explanation.attributions for judged in found.values()], n_random)
    return Comparison(
        tuple(c.name for c in found),
        infos,
        {(c.name, metric): score for c, judged in found.items() for metric, score in judged.scores.items()},
        random,
        {c.name: judged.explanation.cost for c, judged in found.items()},
        {name: str(error) for name, error in refused.items()},
        float(confidence),
        {c.name: judged.notices for c, judged in found.items()},
    )


@dataclass(frozen=True, eq=False)
class _Contestant:
    """A method under the name of its row, with its arguments."""

    name: str
    method: Any
    arguments: Mapping[str, Any]
    takes_baselines: bool
    alone: bool
    """Whether copies of the inputs may not share a call: it draws random numbers, or has rows of its own."""

    def explanation(self, model: Any, inputs: Tensors, target: Any, additional: Any, **changed: Any) -> Explanation:
        """Explain inputs."""
        arguments = {**self.arguments, **changed}
        return explain(model, inputs, self.method, target, additional_forward_args=additional, **arguments)

    def attributions(
        self,
        model: Any,
        inputs: Tensors,
        target: Any = None,
        baselines: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensors:
        """Explain other inputs or another model, with baselines that follow the inputs."""
        own = self.takes_baselines and baselines is not None
        changed = {"baselines": baselines} if own else {}
        return self.explanation(model, inputs, target, additional_forward_args, **changed).attributions


class _Judged(NamedTuple):
    """What became of one method."""

    explanation: Explanation
    scores: dict[str, Tensor]
    notices: tuple[Notice, ...]


def _judged(contestant: _Contestant, common: Setting, infos: Sequence[MetricInfo]) -> _Judged:
    """Run one method and score what it found."""
    with recording() as report:
        explanation = contestant.explanation(common.model, common.inputs, common.target, common.additional_forward_args)
        setting = replace(
            common, attributions=explanation.attributions, explain=contestant.attributions, draws=contestant.alone
        )
        scores = {info.name: info.compute(setting).detach() for info in infos}
    return _Judged(explanation, scores, tuple(dict.fromkeys(report.notices)))


def _contestants(methods: Any, baselines: BaselineLike, seed: int) -> list[_Contestant]:
    """Name the methods and complete their arguments, before any of them runs."""
    if isinstance(methods, str) or not isinstance(methods, Sequence | Mapping):
        given = repr(methods) if isinstance(methods, str) else f"a {type(methods).__name__}"
        raise invalid_type(
            "methods", given, "several are compared", "a list of names, or a mapping of names to methods"
        )
    pairs = list(methods.items()) if isinstance(methods, Mapping) else [(None, method) for method in methods]
    if not pairs:
        raise invalid_value("methods", "empty", "there is nothing to compare", "at least one method")
    found: dict[str, _Contestant] = {}
    for name, given in pairs:
        method, arguments = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        if not isinstance(arguments, Mapping):
            raise invalid_type("methods", f"a pair with a {type(arguments).__name__}", "arguments have names",
                               "(method, {'argument': value})")  # fmt: skip
        contestant = _contestant(name, method, dict(arguments), (baselines, seed))
        if contestant.name in found:
            given_name = f"twice {contestant.name!r}"
            raise invalid_value("methods", given_name, "each row has its name", "a mapping from names of your own")
        if contestant.name == "random":
            raise invalid_value("methods", "'random'", "this is the row of random attributions", "another name")
        found[contestant.name] = contestant
    return list(found.values())


def _contestant(name: Any, method: Any, arguments: dict[str, Any], common: tuple[BaselineLike, int]) -> _Contestant:
    info = method_info(method)
    baselines, seed = common
    free = "baselines" not in arguments and info.takes("baselines")
    if free and baselines is not None:
        arguments["baselines"] = baselines
    draws = info.takes("seed")
    if draws and not {"seed", "generator"} & set(arguments):
        arguments["seed"] = seed
    check_arguments(info, arguments)
    own_rows = any(isinstance(v, Tensor) for n, v in arguments.items() if n != "baselines" or not free)
    return _Contestant(info.name if name is None else str(name), method, arguments, free, draws or own_rows)


def _metrics(
    metrics: Sequence[str | MetricInfo] | None, model: Any, question: Question, ground_truth: Tensor | None
) -> tuple[MetricInfo, ...]:
    """Look the metrics up and refuse those whose needs are not met, before any method runs."""
    if metrics is None:
        metrics = METRIC_NAMES if ground_truth is None else (*METRIC_NAMES, *WITH_TRUTH)
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        given = repr(metrics) if isinstance(metrics, str) else f"a {type(metrics).__name__}"
        raise invalid_type("metrics", given, "several judge", "a list of names")
    found = tuple(dict.fromkeys(m if isinstance(m, MetricInfo) else metric_named(m) for m in metrics))
    if not found:
        raise invalid_value("metrics", "empty", "nothing would be judged", "at least one metric")
    images = len(question.inputs) == 1 and question.inputs[0].dim() == 4
    met = {
        "module": (isinstance(model, nn.Module), "a torch.nn.Module as the model"),
        "images": (images, "images of shape (N, C, H, W)"),
        "ground_truth": (ground_truth is not None, "ground_truth=..."),
    }
    for info in found:
        for need, (there, instead) in met.items():
            if need in info.needs and not there:
                raise invalid_value(
                    "metrics", f"{info.name!r} among others", f"it needs {instead}", "other metrics, or that"
                )
    return found


def _random(
    infos: tuple[MetricInfo, ...], common: Setting, explanations: list[Tensors], draws: int
) -> dict[str, Tensor]:
    """Scores of random attributions under the metrics that they can lose, mean over the draws."""
    judged = [info for info in infos if info.judged]
    if not judged:
        return {}
    totals: dict[str, Tensor] = {}
    for seed in draw_seeds(draws, None, common.seed):
        setting = replace(common, attributions=_noise(explanations, generator_of(seed)))
        for info in judged:
            score = info.compute(setting).detach() / draws
            totals[info.name] = totals[info.name] + score if info.name in totals else score
    return totals


def _noise(explanations: list[Tensors], generator: torch.Generator) -> Tensors:
    """Normal values, of the mean over the methods of each example's root mean square."""
    parts = [e if isinstance(e, tuple) else (e,) for e in explanations]
    sizes = []
    for part in parts:
        flat = torch.cat([p.detach().cpu().double().reshape(len(p), -1) for p in part], dim=1)
        sizes.append(flat.square().mean(1).sqrt())
    size = torch.stack(sizes).mean(0)
    size = torch.where(size > 0, size, 1.0)
    found: list[Tensor] = []
    for p in parts[0]:
        noise = torch.randn(p.shape, generator=generator, dtype=wide(p.dtype))
        found.append((noise * size.reshape(-1, *(1,) * (p.dim() - 1))).to(p.device, p.dtype))
    return like(explanations[0], found)
