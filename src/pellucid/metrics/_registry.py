"""All metrics by name, with what each measures, its range, its direction and what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from pellucid._core.door import accept_inputs, accept_question
from pellucid._core.model import with_gradients
from pellucid._core.random import draw_seeds
from pellucid.errors import invalid_value
from pellucid.metrics._asked import accept
from pellucid.metrics._completeness import completeness
from pellucid.metrics._concentration import complexity, sparseness
from pellucid.metrics._correlation import faithfulness_correlation, sensitivity_n
from pellucid.metrics._infidelity import removal_infidelity
from pellucid.metrics._localisation import pointing_game, relevance_mass_accuracy, relevance_rank_accuracy
from pellucid.metrics._randomisation import parameter_randomisation, random_logit
from pellucid.metrics._removal import comprehensiveness, deletion, effective_complexity, insertion, sufficiency
from pellucid.metrics._road import road
from pellucid.metrics._stability import local_lipschitz, sensitivity_max
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


@dataclass(frozen=True)
class Setting:
    """What the metrics of one explanation are computed from.

    Attributes:
        model: what was explained.
        inputs: the explained inputs.
        attributions: the explanation that is judged.
        target: the explained output.
        baselines: what removed features become.
        additional_forward_args: further arguments of the model.
        feature_mask: which values are removed together.
        ground_truth: where the evidence is known to be.
        explain: the method: from a model, inputs and keywords (target, baselines, additional_forward_args) to
            attributions; ``None`` where there is only the one explanation.
        seed: of what is drawn.
        draws: whether the method draws random numbers, so that copies of the inputs do not share a call.
    """

    model: ForwardFunction
    inputs: Tensors
    attributions: Tensors
    target: TargetLike = None
    baselines: BaselineLike = None
    additional_forward_args: Any = None
    feature_mask: Tensors | None = None
    ground_truth: Tensor | None = None
    explain: Callable[..., Tensors] | None = None
    seed: int = 0
    draws: bool = False

    @property
    def asked(self) -> tuple[Any, ...]:
        """The first arguments of the metrics that evaluate the model."""
        return (
            self.model, self.inputs, self.attributions, self.target, self.baselines, self.additional_forward_args
        )  # fmt: skip

    @property
    def keywords(self) -> dict[str, Any]:
        """Arguments of ``explain`` beside model and inputs."""
        named = {"target": self.target, "baselines": self.baselines}
        return {**named, "additional_forward_args": self.additional_forward_args}

    @property
    def copies(self) -> dict[str, Any]:
        """Arguments of the metrics that perturb the inputs."""
        cap = len(accept_inputs(self.inputs)[0]) if self.draws else None
        return {"seed": self.seed, "max_examples_per_batch": cap, **self.keywords}


@dataclass(frozen=True)
class MetricInfo:
    """A metric by name.

    Attributes:
        name: what ``pellucid.compare(metrics=...)`` takes.
        title: its name as a person writes it.
        family: faithfulness, localisation, stability, complexity, sanity or axioms.
        summary: the question that it answers.
        low: lower end of its range.
        high: upper end of its range.
        direction: higher or lower, whichever is better.
        needs: what it needs beside attributions: model, module (a torch.nn.Module), images (one input N, C, H, W),
            explanation (the method itself), ground_truth.
        judged: whether random attributions are a fair opponent: they lose where attributions say something about
            the model. (They are also spread out, unstable and free of every parameter, so there they prove nothing.)
        compute: from a setting to one score per example.
    """

    name: str
    title: str
    family: str
    summary: str
    low: float
    high: float
    direction: str
    needs: frozenset[str]
    judged: bool
    compute: Callable[[Setting], Tensor]

    @property
    def higher_is_better(self) -> bool:
        """Whether higher scores are better."""
        return self.direction == "higher"

    @property
    def arrow(self) -> str:
        """An arrow in the better direction."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def range(self) -> str:
        """The range in words, such as ``-1 to 1``."""
        words = ["-∞" if end == -math.inf else "∞" if end == math.inf else f"{end:g}" for end in (self.low, self.high)]
        return f"{words[0]} to {words[1]}"


def _explained(setting: Setting) -> Callable[..., Tensors]:
    if setting.explain is None:
        raise invalid_value("explain", "None", "this metric explains other inputs or models too", "the method")
    return setting.explain


def _of_model(setting: Setting) -> Callable[..., Tensors]:
    explain = _explained(setting)
    return lambda inputs, **keywords: explain(setting.model, inputs, **keywords)


@with_gradients
def _infidelity(s: Setting) -> Tensor:
    """Infidelity of removals, so that it fits every method and feature mask."""
    question = accept_question(s.model, s.inputs, s.target, s.additional_forward_args)
    asked = accept(question, s.attributions, s.baselines, s.feature_mask, None)
    return removal_infidelity(asked, draw_seeds(50, None, s.seed))


def _ground_truth(measure: Callable[..., Tensor]) -> Callable[[Setting], Tensor]:
    def compute(s: Setting) -> Tensor:
        if s.ground_truth is None:
            why = "this metric compares attributions with a known place"
            raise invalid_value("ground_truth", "None", why, "a mask per example")
        return measure(s.attributions, s.ground_truth)

    return compute


def _removal(measure: Callable[..., Any]) -> Callable[[Setting], Tensor]:
    def compute(s: Setting) -> Tensor:
        score: Tensor = measure(*s.asked, feature_mask=s.feature_mask).score
        return score

    return compute


_ALL = math.inf
_MODEL, _TRUTH = frozenset({"model"}), frozenset({"ground_truth"})
_ROWS: tuple[tuple[Any, ...], ...] = (
    # name, title, family, question, low, high, better, needs, judged, compute
    ("deletion", "Deletion", "faithfulness", "How large does the output stay while the top features go?",
     -_ALL, _ALL, "lower", _MODEL, True, _removal(deletion)),
    ("insertion", "Insertion", "faithfulness", "How soon does the output come back when the top features come first?",
     -_ALL, _ALL, "higher", _MODEL, True, _removal(insertion)),
    ("comprehensiveness", "Comprehensiveness", "faithfulness", "How much output goes with the top features?",
     -_ALL, _ALL, "higher", _MODEL, True, _removal(comprehensiveness)),
    ("sufficiency", "Sufficiency", "faithfulness", "How much output is missing with the top features alone?",
     -_ALL, _ALL, "lower", _MODEL, True, _removal(sufficiency)),
    ("road", "ROAD", "faithfulness", "How large does the output stay while the top pixels are filled in?",
     -_ALL, _ALL, "lower", frozenset({"model", "images"}), True,
     lambda s: road(s.model, s.inputs, s.attributions, s.target, s.additional_forward_args, seed=s.seed).score),
    ("faithfulness_correlation", "Faithfulness correlation", "faithfulness",
     "Do sums of attributions rise and fall with what removing their features costs?",
     -1.0, 1.0, "higher", _MODEL, True,
     lambda s: faithfulness_correlation(*s.asked, feature_mask=s.feature_mask, seed=s.seed)),
    ("sensitivity_n", "Sensitivity-n", "faithfulness", "The same for subsets of every size.",
     -1.0, 1.0, "higher", _MODEL, True,
     lambda s: sensitivity_n(*s.asked, feature_mask=s.feature_mask, n_samples=20, seed=s.seed).score),
    ("infidelity", "Infidelity", "faithfulness", "How far are attributions from foretelling what removal does?",
     0.0, _ALL, "lower", _MODEL, True, _infidelity),
    ("pointing_game", "Pointing game", "localisation", "Does the highest attribution lie in the ground truth?",
     0.0, 1.0, "higher", _TRUTH, True, _ground_truth(pointing_game)),
    ("relevance_mass_accuracy", "Relevance mass", "localisation", "Which share of positive relevance lies in it?",
     0.0, 1.0, "higher", _TRUTH, True, _ground_truth(relevance_mass_accuracy)),
    ("relevance_rank_accuracy", "Relevance rank", "localisation", "Which share of the top positions lies in it?",
     0.0, 1.0, "higher", _TRUTH, True, _ground_truth(relevance_rank_accuracy)),
    ("sensitivity_max", "Max sensitivity", "stability", "How much does it change when the input hardly does?",
     0.0, _ALL, "lower", frozenset({"explanation"}), False,
     lambda s: sensitivity_max(_of_model(s), s.inputs, **s.copies)),
    ("local_lipschitz", "Local Lipschitz", "stability", "How fast does it change with the input, in its own unit?",
     0.0, _ALL, "lower", frozenset({"explanation"}), False,
     lambda s: local_lipschitz(_of_model(s), s.inputs, **s.copies)),
    ("sparseness", "Sparseness", "complexity", "Does the explanation concentrate on few values?",
     0.0, 1.0, "higher", frozenset(), False, lambda s: sparseness(s.attributions)),
    ("complexity", "Complexity", "complexity", "Over how many values is it spread (entropy)?",
     0.0, _ALL, "lower", frozenset(), False, lambda s: complexity(s.attributions)),
    ("effective_complexity", "Effective complexity", "complexity", "Which share of the features gives the output?",
     0.0, 1.0, "lower", _MODEL, True, lambda s: effective_complexity(*s.asked, feature_mask=s.feature_mask)),
    ("parameter_randomisation", "Parameter randomisation", "sanity",
     "How much does it resemble explanations of the model with random parameters?",
     -1.0, 1.0, "lower", frozenset({"module", "explanation"}), False,
     lambda s: parameter_randomisation(s.model, _explained(s), s.inputs, seed=s.seed, **s.keywords).score),
    ("random_logit", "Random logit", "sanity", "How much does it resemble the explanation of another class?",
     -1.0, 1.0, "lower", frozenset({"model", "explanation"}), False,
     lambda s: random_logit(s.model, _of_model(s), s.inputs, s.target, s.additional_forward_args, seed=s.seed,
                            baselines=s.baselines)),
    ("completeness", "Completeness", "axioms", "By how much do the attributions miss the difference of outputs?",
     0.0, _ALL, "lower", _MODEL, False, lambda s: completeness(*s.asked)),
)  # fmt: skip

METRICS: Mapping[str, MetricInfo] = MappingProxyType({row[0]: MetricInfo(*row) for row in _ROWS})
"""Every metric by its name, faithfulness first.

Example:
    >>> from pellucid.metrics import METRICS
    >>> METRICS["deletion"].direction, METRICS["faithfulness_correlation"].range
    ('lower', '-1 to 1')
"""


def metric_named(name: str) -> MetricInfo:
    """Find a metric by its name.

    Args:
        name: a key of ``METRICS``.

    Returns:
        The metric.

    Raises:
        InvalidValueError: if there is none of this name.
    """
    if not isinstance(name, str) or name not in METRICS:
        raise invalid_value("metric", repr(name), "there is no such metric", f"one of {', '.join(METRICS)}")
    return METRICS[name]
