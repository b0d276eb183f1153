"""What a program gets, what wrong arguments are told, and the page as one file."""

import json
import re

import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.insights import (
    AttributionVisualizer,
    Batch,
    FilterConfig,
    GeneralFeature,
    ImageFeature,
    PageConfig,
    TextFeature,
    TimeSeriesFeature,
)
from pellucid.insights.controls import Control, controls_of
from pellucid.insights.grouping import groups
from pellucid.insights.scores import likeliest
from tests.insights.shows import SHOWS, images, seeded, several


def test_outputs_of_a_program_are_explanations():
    shown = images()
    found = shown.visualize(FilterConfig("deep_lift", num_examples=3))
    assert [output.example for output in found] == [0, 1, 2]
    for output in found:
        x = 2 * output.feature_outputs[0].base[None]
        assert output.active_index == output.actual.index
        model = shown.desk._exhibit.models[0]
        expected = pellucid.explain(model, x, "deep_lift", output.active_index, baselines=x / 2)
        assert torch.equal(output.feature_outputs[0].attributions, expected.attributions[0])
        assert output.predicted[0].index == int(model(x).argmax())
        assert output.predicted[0].label == "abc"[output.predicted[0].index]
        assert output.feature_outputs[0].contribution == 1.0


def test_every_model_explains_every_example():
    found = several().visualize(FilterConfig(num_examples=2))
    assert [(output.model_index, output.example) for output in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sum(part.contribution for part in found[0].feature_outputs) == pytest.approx(1.0)


@pytest.mark.parametrize("prediction", ["correct", "incorrect"])
def test_filters_let_pass_what_they_say(prediction):
    shown = images(50)
    found = shown.visualize(FilterConfig("saliency", prediction=prediction, classes=["a", "b"], num_examples=50))
    assert found
    for output in found:
        assert (output.predicted[0].index == output.actual.index) == (prediction == "correct")
        assert output.actual.label in {"a", "b"}


def test_the_predicted_class_is_explained_on_request():
    model = nn.Linear(2, 2, bias=False)
    data = [Batch(torch.eye(2), torch.tensor([0, 0]))]
    for use_label in (True, False):
        shown = AttributionVisualizer(model, ["n", "y"], GeneralFeature("r", ["a", "b"]), data, None, use_label)
        for output in shown.visualize(FilterConfig("saliency")):
            assert output.active_index == (output.actual if use_label else output.predicted[0]).index


X = torch.ones(2, 3)
ROW = GeneralFeature("row", ["a", "b", "c"])
GOOD = {"models": nn.Linear(3, 2), "classes": ["n", "y"], "features": ROW, "dataset": [Batch(X, None)]}
WRONG = [
    ({"models": []}, InvalidValueError, "models is empty"),
    ({"models": [3]}, InvalidTypeError, "models"),
    ({"classes": "yes"}, InvalidTypeError, "classes"),
    ({"features": []}, InvalidValueError, "features is empty"),
    ({"features": [ROW, ROW]}, InvalidValueError, "two of the name 'row'"),
    ({"features": ["row"]}, InvalidTypeError, "features"),
    ({"dataset": Batch(X, None)}, InvalidTypeError, "dataset"),
    ({"dataset": 3}, InvalidTypeError, "dataset"),
    ({"config": PageConfig(filter=FilterConfig(classes=["maybe"]))}, InvalidValueError, "'maybe'"),
    ({"config": FilterConfig()}, InvalidTypeError, "config is a FilterConfig"),
    ({"classes": X}, InvalidTypeError, "classes is a Tensor"),
    ({"features": 3}, InvalidTypeError, "features is with a int"),
    ({"dataset": X}, InvalidTypeError, "dataset is a Tensor"),
    ({"score_func": 3}, InvalidTypeError, "score_func is a int"),
    ({"use_label_for_attr": "no"}, InvalidTypeError, "use_label_for_attr is a str"),
]


@pytest.mark.parametrize(("changed", "error", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_wrong_arguments_are_told(changed, error, said):
    with pytest.raises(error, match=re.escape(said)):
        AttributionVisualizer(**{**GOOD, **changed})


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Batch((X, torch.ones(3, 1)), None), InvalidValueError),
        (lambda: Batch(X, torch.zeros(3, dtype=torch.long)), InvalidValueError),
        (lambda: Batch(X, torch.zeros(2)), InvalidTypeError),
        (lambda: Batch([X], None), InvalidTypeError),
        (lambda: Batch((), None), InvalidValueError),
        (lambda: Batch(X[:0], None), InvalidValueError),
        (lambda: FilterConfig("no_such"), InvalidValueError),
        (lambda: FilterConfig(prediction="right"), InvalidValueError),
        (lambda: FilterConfig(num_examples=0), InvalidValueError),
        (lambda: PageConfig(max_examples=0), InvalidValueError),
        (lambda: PageConfig(3), InvalidTypeError),
        (lambda: PageConfig(filter="all"), InvalidTypeError),
        (lambda: FilterConfig(classes=3), InvalidTypeError),
        (lambda: FilterConfig(prediction=[]), InvalidValueError),
        (lambda: FilterConfig(attribution_arguments=[3]), InvalidTypeError),
        (lambda: GeneralFeature("x", 3), InvalidTypeError),
        (lambda: TimeSeriesFeature("x", channels=3), InvalidTypeError),
        (lambda: TimeSeriesFeature("x", channel_axis=[]), InvalidValueError),
        (lambda: TextFeature("x", tokenizer="gpt2"), InvalidTypeError),
        (lambda: ImageFeature("x", visualization_transform=3), InvalidTypeError),
        (lambda: AttributionVisualizer(**GOOD).visualize("saliency"), InvalidTypeError),
        (lambda: AttributionVisualizer(**GOOD).to_html(3), InvalidTypeError),
        (lambda: AttributionVisualizer(**GOOD).to_html(methods="saliency"), InvalidTypeError),
        (lambda: AttributionVisualizer(**{**GOOD, "score_func": torch.sum}).visualize(), InvalidValueError),
        (
            lambda: AttributionVisualizer(**{**GOOD, "models": lambda x: X[:1]}).visualize(),
            InvalidValueError,
        ),
        (lambda: AttributionVisualizer(**{**GOOD, "models": lambda x: x.sum()}).visualize(), InvalidValueError),
        (lambda: AttributionVisualizer(**{**GOOD, "score_func": lambda o: o * 1j}).visualize(), InvalidTypeError),
        (lambda: ImageFeature(""), InvalidTypeError),
        (lambda: ImageFeature("x", baseline_transforms=3), InvalidTypeError),
        (lambda: ImageFeature("x", input_transforms=[3]), InvalidTypeError),
        (lambda: GeneralFeature("x", "ab"), InvalidTypeError),
        (lambda: TimeSeriesFeature("x", channel_axis=2), InvalidValueError),
        (lambda: AttributionVisualizer(**{**GOOD, "dataset": [X]}).visualize(), InvalidTypeError),
        (lambda: AttributionVisualizer(**{**GOOD, "dataset": [Batch((X, X), None)]}).visualize(), InvalidValueError),
        (lambda: GeneralFeature("x", ["a"], input_transforms=lambda x: x[:1]).inputs(X), InvalidValueError),
        (lambda: GeneralFeature("x", ["a"], input_transforms=lambda x: 3).inputs(X), InvalidTypeError),
    ],
)
def test_wrong_parts_are_told(make, error):
    with pytest.raises(error):
        make()


def test_a_filter_by_an_unknown_class_is_refused():
    with pytest.raises(InvalidValueError, match="'z'"):
        images().visualize(FilterConfig(classes=["a", "z"]))


def test_a_file_makes_no_more_predictions_than_it_shows():
    rows = []

    def model(x):
        rows.append(len(x))
        return torch.stack([x.sum(1), -x.sum(1)], 1)

    data = [Batch(seeded(64, 2, seed=i), None) for i in range(20)]
    shown = AttributionVisualizer(model, ["n", "y"], GeneralFeature("r", ["a", "b"]), data)
    shown.to_html(methods=["saliency"], config=FilterConfig(num_examples=3))
    assert rows.count(64) == 1


def test_ranges_are_those_of_all_examples():
    values = seeded(200, 3) * torch.tensor([1.0, -5.0, 0.0])
    values[7, 0] = torch.inf
    shown = AttributionVisualizer(
        lambda x: x, ["n", "y", "z"], GeneralFeature("r", ["a", "b", "c"]), [Batch(values, None)]
    )
    shown.visualize(FilterConfig("saliency", num_examples=1))
    known = shown.desk._exhibit.examples.range_of(0)
    finite = values.where(values.isfinite(), 0.0)
    assert torch.equal(known.low, finite.amin(0))
    assert torch.equal(known.high, finite.amax(0))
    assert known.whole.tolist() == [False, False, True]


def test_several_baselines_can_be_chosen_by_name():
    def halved(x):
        return x / 2

    feature = ImageFeature("x", baseline_transforms=[torch.zeros_like, halved, lambda x: x * 0 + 1])
    assert list(feature.baselines()) == ["zeros_like", "halved", "baseline 3"]
    assert torch.equal(feature.baseline("halved", X), X / 2)
    assert torch.equal(feature.baseline("of another feature", X), X * 0)


def test_a_text_without_a_tokenizer_shows_what_it_holds():
    feature = TextFeature("t")
    assert feature.shown(torch.tensor([3, 4])) == ["3", "4"]
    assert feature.shown(torch.ones(2, 5)) == ["token 0", "token 1"]
    with pytest.raises(InvalidValueError, match="tokenizer"):
        feature.replaced(torch.tensor([3, 4]), 0, "word")


@pytest.mark.parametrize(("shape", "axis"), [((1, 2, 9), 0), ((1, 9, 2), 1), ((1, 9), 0)])
def test_stretches_of_a_series_are_the_same_in_all_channels(shape, axis):
    [mask] = groups((TimeSeriesFeature("s", channel_axis=axis),), (torch.zeros(shape),), 3)
    whole = mask.broadcast_to(shape)
    along = whole.reshape(9) if len(shape) == 2 else whole[0].T[:, 0] if axis == 0 else whole[0][:, 0]
    assert along.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_groups_of_several_inputs_have_ids_of_their_own():
    features = (ImageFeature("a"), GeneralFeature("b", ["x", "y"]))
    first, second = groups(features, (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2)), 2)
    assert sorted({*first.flatten().tolist()}) == [0, 1, 2, 3]
    assert second.tolist() == [[4, 5]]


def test_controls_follow_the_signatures():
    named = {info.name: {c.name: c for c in controls_of(info)} for info in pellucid.methods()}
    assert named["integrated_gradients"]["quadrature"].choices[0] == "riemann_left"
    assert named["gradient_shap"]["n_samples"].default == 5
    assert named["saliency"] == {"abs": named["saliency"]["abs"]}
    assert "baselines" not in named["integrated_gradients"]
    for controls in named.values():
        assert all(isinstance(control, Control) and control.help for control in controls.values())


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("integer", 3, True), ("number", 3, "3"), ("boolean", True, 1), ("choice", "a", "b"), ("choice", "a", 3)],
)
def test_values_of_controls_are_checked(kind, good, bad):
    control = Control("x", kind, None, False, ("a",) if kind == "choice" else None, None, "")
    assert control.read(good) == good
    with pytest.raises((InvalidTypeError, InvalidValueError)):
        control.read(bad)
    with pytest.raises((InvalidTypeError, InvalidValueError)):
        control.read(None)


def test_text_that_is_json_is_read_as_such():
    control = Control("x", "json", None, True, None, None, "")
    assert control.read("[1, [2, 3]]") == (1, (2, 3))
    assert control.read("auto") == "auto"
    assert control.read(None) is None


def test_the_true_class_is_among_the_likeliest():
    shares = torch.linspace(1, 0, 30)
    assert likeliest(shares, 29) == [*range(9), 29]
    assert likeliest(shares, 99) == list(range(10))


def answers_in(page):
    start = re.search(r'<script type="application/json" id="pellucid-start"[^>]*>(.*?)</script>', page, re.DOTALL)
    return json.loads(start[1])["answers"]


@pytest.mark.parametrize("name", SHOWS)
def test_a_file_holds_every_answer_that_it_offers(name, tmp_path):
    shown = SHOWS[name]()
    config = FilterConfig(num_examples=2)
    page = shown.to_html(tmp_path / "page.html", methods=["saliency", "integrated_gradients"], config=config)
    assert (tmp_path / "page.html").read_text() == page
    answers = answers_in(page)
    [about] = answers["about {}"]
    assert about["static"]
    models = len(shown.desk._exhibit.models)
    asked = [json.loads(key.partition(" ")[2]) for key in answers if key.startswith("explain ")]
    assert len(asked) == 2 * 2 * models
    for choice in about["precomputed"]:
        fitting = [body for body in asked if all(body[key] == value for key, value in choice.items())]
        assert [body["example"] for body in fitting] == [0, 1]
    for model in range(models):
        rows = answers[f'predictions {{"model":{model}}}'][0]["rows"]
        assert [row["index"] for row in rows] == [0, 1]


def test_a_file_uses_the_arguments_of_its_configuration():
    config = FilterConfig(attribution_arguments={"n_steps": 7}, num_examples=1)
    answers = answers_in(images().to_html(config=config))
    [events] = [events for key, events in answers.items() if key.startswith("explain ")]
    assert events[-1]["n_steps"] == 7


def test_hostile_names_stay_texts():
    evil = "</script><script>alert(1)</script><!--"
    data = [Batch(seeded(2, 2), torch.tensor([0, 1]))]
    shown = AttributionVisualizer(
        nn.Linear(2, 2).double(), [evil, "b"], GeneralFeature(evil, [evil, "b"]), data, config=PageConfig(evil)
    )
    page = shown.to_html()
    assert "<script>alert" not in page
    assert answers_in(page)["about {}"][0]["classes"][0] == evil
