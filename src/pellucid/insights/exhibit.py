"""What is on show: models, what their inputs mean, and examples with their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from pellucid._core.expansion import run_plain
from pellucid._core.model import borrowed
from pellucid._core.output import output_tensor
from pellucid._core.report import recording
from pellucid.errors import invalid_value
from pellucid.insights.configs import PageConfig
from pellucid.insights.controls import Control, baseline_control
from pellucid.insights.examples import Examples
from pellucid.insights.features import Feature
from pellucid.insights.scores import Score, Scorer
from pellucid.registry import MethodInfo

ROWS = 64
"""Examples that are predicted at a time."""
ZEROS, SAMPLE = "zeros", "examples"
"""Baselines that need no transform: zeros, and examples of the data set for methods that draw from several."""


class Exhibit:
    """Models, what their inputs mean, and examples.

    Args:
        models: by name.
        classes: names of the classes; none for models without classes.
        features: one for each input of the models.
        examples: the data.
        score_func: from a model's output to the scores of classes.
        config: what a page starts with.
        use_label: whether the true class is explained first, and not the predicted one.
    """

    def __init__(
        self,
        models: Mapping[str, Callable[..., Any]],
        classes: tuple[str, ...],
        features: tuple[Feature, ...],
        examples: Examples,
        score_func: Callable[[Any], Tensor] | None,
        config: PageConfig,
        use_label: bool,
    ) -> None:
        self.names = tuple(models)
        self.models = tuple(models.values())
        self.classes = classes
        self.features = features
        self.examples = examples
        self.config = config
        self.use_label = use_label
        self._scorers = tuple(Scorer(score_func) for _ in self.models)
        self._scored: list[dict[int, list[Score]]] = [{} for _ in self.models]

    def class_name(self, index: int | None) -> str:
        """Name a class."""
        if index is None:
            return ""
        return self.classes[index] if 0 <= index < len(self.classes) else f"class {index}"

    def model(self, place: int) -> Callable[..., Any]:
        """Return a model by its number."""
        if not 0 <= place < len(self.models):
            raise invalid_value("model", str(place), f"there are {len(self.models)}", "the number of one, from 0")
        return self.models[place]

    def inputs_of(self, raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the model's inputs for raw examples."""
        return tuple(feature.inputs(part) for feature, part in zip(self.features, raw, strict=True))

    def score(self, model: int, inputs: tuple[Tensor, ...], additional: tuple[Any, ...]) -> list[Score]:
        """Run a model and score its output; the first examples of all decide how."""
        if not self._scored[model]:
            for _ in self._scores(model, 0):
                break
        return self._scorers[model](self._output(model, inputs, additional))

    def _output(self, model: int, inputs: tuple[Tensor, ...], additional: tuple[Any, ...]) -> Any:
        """Run a model on copies, and give it back as it was."""
        forward = self.models[model]
        others = tuple(a.clone() if isinstance(a, Tensor) else a for a in additional)
        with recording(quiet=True), borrowed(forward, inputs[0].device):
            output = run_plain(lambda values: forward(*values, *others), inputs)
        shape = tuple(output_tensor(output).shape)
        if shape[:1] != (len(inputs[0]),):
            why = f"{len(inputs[0])} examples were given to it"
            raise invalid_value("models", f"with one whose output has shape {shape}", why, "models with a row for each")
        return output

    def _scores(self, model: int, place: int) -> Iterator[tuple[int, list[Score]]]:
        """Score a batch, some examples at a time.

        Yields:
            The number of the first example, and the scores.
        """
        batch = self.examples.batch(place)
        for first in range(0, 0 if batch is None else len(batch), ROWS):
            start = self.examples.start(place) + first
            if batch is not None and start not in self._scored[model]:
                rows = slice(first, first + ROWS)
                inputs = self.inputs_of(tuple(part[rows] for part in batch.parts))
                found = self._scorers[model](self._output(model, inputs, batch.additional(rows)))
                self._scored[model][start] = found
            yield start, self._scored[model][start]

    def predictions(self, model: int) -> Iterator[tuple[int, list[Score], list[int | None]]]:
        """Score all examples, some at a time.

        Yields:
            The number of the first example, the scores, and the true classes.
        """
        self.model(model)
        place = 0
        while (batch := self.examples.batch(place)) is not None:
            for start, scores in self._scores(model, place):
                first = start - self.examples.start(place)
                yield start, scores, [batch.label(first + row) for row in range(len(scores))]
            place += 1

    def baseline_names(self, info: MethodInfo) -> tuple[str, ...]:
        """Return the baselines that a method can be given, the default first."""
        named = dict.fromkeys(name for feature in self.features for name in feature.baselines())
        sample = (SAMPLE,) if info.attribution.takes_distribution else ()
        return (*sample, *named, ZEROS)

    def baseline_control(self, info: MethodInfo) -> Control | None:
        """Return the choice of a baseline, for methods that take one."""
        return baseline_control(self.baseline_names(info), info)
