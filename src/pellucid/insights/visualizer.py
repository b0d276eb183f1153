"""The visualizer: one object that a page in the browser, a notebook, a program and a file are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pellucid import Explanation
from pellucid._core.checks import accept_function, accept_path, accept_texts
from pellucid.docstrings import accept_flag
from pellucid.errors import invalid_type, invalid_value
from pellucid.insights.answers import Answered, answer, read, shares_of
from pellucid.insights.asking import Question, Target
from pellucid.insights.batch import Batch
from pellucid.insights.configs import FilterConfig, PageConfig
from pellucid.insights.desk import Desk
from pellucid.insights.examples import Examples
from pellucid.insights.exhibit import Exhibit
from pellucid.insights.features import Feature
from pellucid.insights.line import Line
from pellucid.insights.scores import Score, likeliest

if TYPE_CHECKING:
    from pellucid.insights.server import Serving
    from pellucid.insights.widget import InsightsWidget


@dataclass(frozen=True)
class OutputScore:
    """A class with its score.

    Attributes:
        score: as the score function gives it, usually a probability.
        index: of the class.
        label: its name.
    """

    score: float
    index: int
    label: str


@dataclass(frozen=True)
class FeatureOutput:
    """What an explanation says about one input.

    Attributes:
        name: of the feature.
        type: ``"image"``, ``"text"``, ``"table"``, ``"series"`` or ``"empty"``.
        base: the raw example.
        attributions: one value per value of the model's input.
        contribution: share of all inputs' magnitudes, from 0 to 1.
    """

    name: str
    type: str
    base: Tensor
    attributions: Tensor
    contribution: float


@dataclass(frozen=True)
class VisualizationOutput:
    """An explained example.

    Attributes:
        example: its number in the data set.
        model_index: which of the models.
        active_index: the explained class.
        actual: the true class with its score, where it is known.
        predicted: the likeliest classes.
        feature_outputs: one for each feature.
        explanation: everything else: delta, certificate, cost, warnings.
    """

    example: int
    model_index: int
    active_index: int | None
    actual: OutputScore | None
    predicted: tuple[OutputScore, ...]
    feature_outputs: tuple[FeatureOutput, ...]
    explanation: Explanation


class AttributionVisualizer:
    """Shows what models base their predictions on, for the examples of a data set.

    Nothing is computed before it is looked at; examples are read from the data set as they are needed.

    Example:
        >>> import torch
        >>> from pellucid.insights import AttributionVisualizer, Batch, FilterConfig, GeneralFeature
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> data = [Batch(torch.tensor([[1.0, -1.0]]), torch.tensor([0]))]
        >>> shown = AttributionVisualizer(model, ["no", "yes"], GeneralFeature("row", ["a", "b"]), data)
        >>> [output] = shown.visualize(FilterConfig(attribution_method="input_x_gradient"))
        >>> bool(torch.allclose(output.explanation.attributions, model.weight[0] * torch.tensor([1.0, -1.0])))
        True

    Args:
        models: a model, several, or a mapping from names to models: modules, or functions of the inputs.
        classes: names of the classes in the order of the output; empty for models without classes.
        features: what the models' inputs are: one feature for each.
        dataset: an iterable of ``Batch``, such as a list or a generator. It is iterated over once.
        score_func: from a model's output to a score for each class, shape (N, C). Without it, outputs (N, C) go through
            a softmax, unless all of them lie between 0 and 1.
        use_label_for_attr: whether the true class is explained, where it is known, and not the predicted one.
        config: what the page starts with: its title, a filter, a method.

    Raises:
        InvalidTypeError: for models, features or names of a wrong type.
        InvalidValueError: if there is no model or no feature, or two features have one name.
    """

    def __init__(
        self,
        models: Any,
        classes: Sequence[str],
        features: Feature | Sequence[Feature],
        dataset: Iterable[Batch],
        score_func: Callable[[Any], Tensor] | None = None,
        use_label_for_attr: bool = True,
        *,
        config: PageConfig | None = None,
    ) -> None:
        self.config = PageConfig() if config is None else config
        if not isinstance(self.config, PageConfig):
            raise invalid_type("config", f"a {type(config).__name__}", "it says how a page starts", "a PageConfig")
        accept_flag("use_label_for_attr", use_label_for_attr)
        if score_func is not None:
            accept_function("score_func", score_func)
        given = accept_features(features)
        names = accept_classes(classes)
        check_classes(self.config.filter, names)
        if isinstance(dataset, Batch | np.ndarray | Tensor) or not isinstance(dataset, Iterable):
            raise invalid_type("dataset", f"a {type(dataset).__name__}", "it gives no batches", "a list of Batch")
        examples = Examples(dataset, given, self.config.max_examples)
        show = accept_models(models), names, given, examples, score_func, self.config, use_label_for_attr
        self._exhibit = Exhibit(*show)
        self.desk = Desk(self._exhibit)
        """What answers a page's questions."""

    def visualize(self, config: FilterConfig | None = None) -> list[VisualizationOutput]:
        """Explain the first examples that a filter lets pass, with every model.

        Args:
            config: which examples, and how; by default the visualizer's own.

        Returns:
            One output for each model and example, the models' in their order.

        Raises:
            InvalidValueError: for arguments that the method does not have, or that do not fit.
            InvalidTypeError: for arguments of a wrong type.
        """
        chosen = self._filter(config)
        found = []
        for model in range(len(self._exhibit.models)):
            for index in self.chosen(chosen, model):
                asked = read(self._exhibit, self.question(index, chosen, model))
                answered = answer(self._exhibit, asked, Line(lambda _: None, lambda: False))
                found.append(self._output(index, model, answered))
        return found

    def _filter(self, config: FilterConfig | None) -> FilterConfig:
        chosen = self.config.filter if config is None else config
        if not isinstance(chosen, FilterConfig):
            raise invalid_type("config", f"a {type(config).__name__}", "it says which examples", "a FilterConfig")
        return chosen

    def question(self, example: int, config: FilterConfig, model: int = 0) -> Question:
        """Return the question that a configuration asks about an example."""
        target: Target = "label" if self._exhibit.use_label else "predicted"
        return Question(example, model, config.attribution_method, dict(config.attribution_arguments), target, None, ())

    def chosen(self, config: FilterConfig, model: int = 0) -> list[int]:
        """Return the numbers of the first examples that a filter lets pass."""
        check_classes(config, self._exhibit.classes)
        found: list[int] = []
        for start, scores, labels in self._exhibit.predictions(model):
            for place, (score, label) in enumerate(zip(scores, labels, strict=True)):
                if len(found) < config.num_examples and self._passes(config, score, label):
                    found.append(start + place)
            if len(found) >= config.num_examples:
                break
        return found

    def _passes(self, config: FilterConfig, score: Score, label: int | None) -> bool:
        right = label is not None and score.predicted == label
        wanted = {"all": True, "correct": right, "incorrect": label is not None and not right}[config.prediction]
        return wanted and (not config.classes or self._exhibit.class_name(label) in config.classes)

    def _output(self, index: int, model: int, answered: Answered) -> VisualizationOutput:
        example, shares = self._exhibit.examples[index], answered.score.shares
        given = answered.explanation.attributions
        parts = given if isinstance(given, tuple) else (given,)

        def scored(place: int) -> OutputScore:
            return OutputScore(
                float(shares[place]) if shares is not None else 0.0, place, self._exhibit.class_name(place)
            )

        known = shares is not None and example.label is not None and 0 <= example.label < len(shares)
        return VisualizationOutput(
            example=index,
            model_index=model,
            active_index=answered.target,
            actual=scored(example.label) if known and example.label is not None else None,
            predicted=() if shares is None else tuple(scored(place) for place in likeliest(shares, None)[:4]),
            feature_outputs=tuple(
                FeatureOutput(feature.name, feature.kind, raw[0], part[0], share)
                for feature, raw, part, share in zip(
                    self._exhibit.features, example.raw, parts, shares_of(parts), strict=True
                )
            ),
            explanation=answered.explanation,
        )

    def serve(self, blocking: bool = False, port: int | None = None, *, open_browser: bool = False) -> Serving:
        """Show the page in the browser, from a server on this machine only.

        Args:
            blocking: whether the call returns only when it is interrupted (Ctrl-C).
            port: a free one is taken by default.
            open_browser: whether the browser is opened.

        Returns:
            The server: ``.address`` opens the page and holds the secret that it needs; ``.close()`` ends it.

        Raises:
            InvalidValueError: if the port is taken.
            InvalidTypeError: if the packages of the extra ``insights`` are missing.
        """
        serve = _extra("pellucid.insights.server", "serve")
        served: Serving = serve(self.desk, port=port, blocking=blocking, open_browser=open_browser)
        return served

    def widget(self) -> InsightsWidget:
        """Return the page as a widget of a notebook; ``.flagged`` holds the numbers of flagged examples.

        Raises:
            InvalidTypeError: if the packages of the extra ``insights`` are missing.
        """
        made: InsightsWidget = _extra("pellucid.insights.widget", "InsightsWidget")(self.desk)
        return made

    def render(self) -> None:
        """Show the page in a notebook."""
        _extra("IPython.display", "display")(self.widget())

    def to_html(
        self, path: str | Path | None = None, methods: Sequence[str] | None = None, config: FilterConfig | None = None
    ) -> str:
        """Make one file that needs no server: examples, predictions and attributions, computed beforehand.

        Args:
            path: where to write it, if anywhere.
            methods: names of methods; by default the configuration's.
            config: which examples; by default the visualizer's own configuration.

        Returns:
            The page.

        Raises:
            InvalidValueError: for a method that there is not, or that explains layers only.
        """
        from pellucid.insights.static import static_page  # noqa: PLC0415  (it reads the page's parts)

        chosen, target = self._filter(config), None if path is None else accept_path("path", path)
        named = (chosen.attribution_method,) if methods is None else accept_texts("methods", methods, "it names them")
        questions = [
            self.question(index, replace(chosen, attribution_method=name, attribution_arguments=own), model)
            for model in range(len(self._exhibit.models))
            for index in self.chosen(chosen)
            for name in named
            for own in [chosen.attribution_arguments if name == chosen.attribution_method else {}]
        ]
        page = static_page(self.desk, questions)
        if target is not None:
            target.write_text(page, encoding="utf-8")
        return page


def accept_models(models: Any) -> dict[str, Callable[..., Any]]:
    """Return models by name: their class's, with a number where it occurs twice."""
    if isinstance(models, Mapping):
        named = {str(name): model for name, model in models.items()}
    else:
        many = list(models) if isinstance(models, list | tuple) else [models]
        titles = [getattr(model, "__name__", type(model).__name__) for model in many]
        named = {
            title if titles.count(title) == 1 else f"{title} {place + 1}": model
            for place, (title, model) in enumerate(zip(titles, many, strict=True))
        }
    for name, model in named.items():
        if not callable(model):
            raise invalid_type("models", f"with a {type(model).__name__} ({name})", "it cannot be called", "modules")
    if not named:
        raise invalid_value("models", "empty", "there is nothing to explain", "one model or more")
    return named


def accept_features(features: Feature | Sequence[Feature]) -> tuple[Feature, ...]:
    """Return features as a tuple, each with a name of its own."""
    many = tuple(features) if isinstance(features, list | tuple) else (features,)
    for feature in many:
        if not isinstance(feature, Feature):
            raise invalid_type("features", f"with a {type(feature).__name__}", "it is no feature", "ImageFeature(...)")
    names = [feature.name for feature in many]
    if not many or len(set(names)) < len(names):
        given = "empty" if not many else f"with two of the name {max(names, key=names.count)!r}"
        raise invalid_value("features", given, "each input is one", "one feature for each input, with its own name")
    return many


def check_classes(config: FilterConfig, names: Sequence[str]) -> None:
    """Refuse a filter by classes that there are not."""
    unknown = [name for name in config.classes if name not in names]
    if unknown:
        given, known = f"with {unknown[0]!r}", ", ".join(names) or "nothing, since there are no classes"
        raise invalid_value("classes", given, "there is no such class", f"some of {known}")


def accept_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes as texts."""
    return accept_texts("classes", classes, "each class has a name")


def _extra(module: str, name: str) -> Any:
    """Import what needs packages that not everybody has."""
    import importlib  # noqa: PLC0415  (only here)

    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pellucid"):
            raise
        why = f"the page needs {error.name}"
        raise invalid_type("pellucid", "installed without the extra", why, "pip install 'pellucid[insights]'") from None
