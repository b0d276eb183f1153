"""What stands on a report page: explanations and their subject, turned into plain values for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_instance, accept_keywords, accept_text, accept_texts
from pellucid.errors import invalid_type, invalid_value
from pellucid.report._certificate import CertificateView, certificate_view
from pellucid.report._panels import Panel, panel_of
from pellucid.report._pictures import picture_uri
from pellucid.report._subject import Subject
from pellucid.report._verdict import Verdict, accept_explanation, explanation_title, single_tensor, verdict_of

if TYPE_CHECKING:
    from pellucid import Explanation


SHOWN_CLASSES = 5
ALWAYS_SHOWN = 3
NEGLIGIBLE = 5e-4
UNDERLAID = 24  # pixels a side from which an image below its map helps more than it blurs the colours


@dataclass(frozen=True)
class Run:
    """What a page says about itself.

    Args:
        title: The heading.
        model: The model in words, such as the name that was typed.
        data: The data in words.
        summaries: One line about each method, by name.
        settings: Pairs of a setting's name and value, shown at the end.
        notes: Remarks that hold for the whole page.
    """

    title: str = "What the model looked at"
    model: str = ""
    data: str = ""
    summaries: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("title", "model", "data"):
            accept_text(name, getattr(self, name), "it is said on the page")
        object.__setattr__(self, "summaries", accept_keywords("summaries", self.summaries))
        object.__setattr__(self, "notes", accept_texts("notes", self.notes, "each is a remark"))
        pairs = self.settings
        if not isinstance(pairs, list | tuple) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
            given = f"a {type(pairs).__name__} of other things"
            raise invalid_type("settings", given, "each has a name and a value", "a list of pairs of texts")


@dataclass(frozen=True)
class ClassBar:
    """One class beside its probability."""

    name: str
    percent: str
    share: float
    predicted: bool
    true: bool


@dataclass(frozen=True)
class Card:
    """Everything about one example."""

    number: int
    name: str
    picture: str
    size: tuple[int, int]
    prediction: str
    probability: str
    classes: list[ClassBar]
    truth: str | None
    state: str
    explained: str
    panels: list[Panel]


@dataclass(frozen=True)
class MethodRow:
    """Everything about one method over all examples."""

    title: str
    summary: str
    verdict: Verdict
    rows: int
    seconds: str
    warnings: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    certificate: CertificateView | None


@dataclass(frozen=True)
class Page:
    """The whole page."""

    run: Run
    kind: str
    cards: list[Card]
    methods: list[MethodRow]
    right: int
    wrong: int
    under: bool


def build_page(explanations: Sequence[Explanation], subject: Subject, run: Run) -> Page:
    """Turn one explanation per method, all of the same examples, into the values of a page."""
    accept_instance("subject", subject, Subject, "subject_of(explanation), or a Subject of your own")
    accept_instance("run", run, Run, "a Run, or None")
    if not isinstance(explanations, list | tuple):
        given = f"a {type(explanations).__name__}"
        raise invalid_type("explanations", given, "there is one for each method", "a list of explanations")
    for place, each in enumerate(explanations):
        accept_explanation(f"explanations[{place}]", each)
    if not explanations:
        raise invalid_value("explanations", "empty", "there is nothing to show", "at least one explanation")
    for explanation in explanations:
        rows = len(single_tensor(explanation.attributions, "attributions"))
        if rows != len(subject.names):
            raise invalid_value(
                "explanations", f"of {rows} examples", f"the subject names {len(subject.names)}", "the same examples"
            )
    cards = [_card(explanations, subject, position) for position in range(len(subject.names))]
    return Page(
        run=run,
        kind=subject.kind,
        cards=cards,
        methods=[_method_row(explanation, run) for explanation in explanations],
        right=sum(card.state == "right" for card in cards),
        wrong=sum(card.state == "wrong" for card in cards),
        under=any(min(card.size) >= UNDERLAID for card in cards),
    )


def probabilities(outputs: Tensor) -> Tensor | None:
    """Return class probabilities, or None if the outputs, not of shape (N, C > 1), are no class scores.

    Outputs that all lie between 0 and 1 are probabilities already (of one class each, if rows do not sum to
    one); all others go through a softmax.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return None
    values = outputs.detach().double()
    if bool(((values >= 0) & (values <= 1 + 1e-6)).all()):
        return values
    return values.softmax(1)


def _card(explanations: Sequence[Explanation], subject: Subject, position: int) -> Card:
    first = explanations[0]
    chances = probabilities(first.outputs)
    predicted = None if chances is None else int(chances[position].argmax())
    truth = subject.true_class(position)
    picture = picture_uri(subject.pictures[position]) if subject.pictures else ""
    state = "unknown" if truth is None or predicted is None else "right" if truth == predicted else "wrong"
    return Card(
        number=position + 1,
        name=subject.names[position],
        picture=picture,
        size=(subject.pictures[position].shape[1], subject.pictures[position].shape[0]) if picture else (0, 0),
        prediction=value_text(first.outputs[position]) if predicted is None else subject.class_name(predicted),
        probability="" if chances is None else _percent(float(chances[position].max())),
        classes=[] if chances is None else _class_bars(chances[position], subject, truth),
        truth=subject.true_label(position),
        state=state,
        explained=_explained(first, subject, position, predicted),
        panels=[panel_of(explanation, subject, position) for explanation in explanations],
    )


def _class_bars(chances: Tensor, subject: Subject, truth: int | None) -> list[ClassBar]:
    order = chances.argsort(descending=True)[:SHOWN_CLASSES].tolist()
    order = [index for place, index in enumerate(order) if place < ALWAYS_SHOWN or float(chances[index]) > NEGLIGIBLE]
    if truth is not None and truth not in order and truth < len(chances):
        order[-1] = truth
    best = order[0]
    return [
        ClassBar(
            subject.class_name(index),
            _percent(float(chances[index])),
            round(float(chances[index]), 4),
            index == best,
            index == truth,
        )
        for index in order
    ]


def _explained(explanation: Explanation, subject: Subject, position: int, predicted: int | None) -> str:
    """Name the explained output where it is not the predicted class."""
    target = explanation.target
    if isinstance(target, torch.Tensor) and target.ndim == 1:
        target = int(target[position if len(target) > 1 else 0])
    if isinstance(target, int) and target != predicted:
        return subject.class_name(target)
    return "" if target is None or isinstance(target, int) else str(target)


def _method_row(explanation: Explanation, run: Run) -> MethodRow:
    count = len(single_tensor(explanation.attributions, "attributions"))
    worst = max((verdict_of(explanation, position) for position in range(count)), key=lambda v: v.rank)
    settings = [(str(key), _setting(value)) for key, value in explanation.settings.items()]
    if explanation.n_steps is not None and "n_steps" not in explanation.settings:
        settings.append(("n_steps", str(explanation.n_steps)))
    return MethodRow(
        title=explanation_title(explanation),
        summary=run.summaries.get(explanation.method, ""),
        verdict=worst,
        rows=explanation.cost.rows,
        seconds=f"{explanation.cost.seconds:.2f}",
        warnings=[(notice.category, notice.message) for notice in explanation.warnings],
        settings=settings,
        certificate=certificate_view(explanation.certificate),
    )


def _setting(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def value_text(output: Tensor) -> str:
    """Write an output without classes in words: its first numbers.

    Example:
        >>> import torch
        >>> value_text(torch.tensor([0.5, -2.0]))
        '0.5, -2'
    """
    if not isinstance(output, Tensor) or accept_dense("output", output).is_complex():
        raise invalid_type("output", f"a {type(output).__name__}", "numbers are written", "a tensor of real numbers")
    numbers = output.detach().flatten().tolist()
    return ", ".join(f"{number:.4g}" for number in numbers[:4]) + (", ..." if len(numbers) > 4 else "")
