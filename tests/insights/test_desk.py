"""The desk answers with the library's numbers, refuses what cannot be asked, and survives user code that raises."""

import base64
import json

import pytest
import torch

import pellucid
from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.insights import AttributionVisualizer, Batch, FilterConfig, GeneralFeature, ImageFeature, PageConfig
from pellucid.insights.asking import Edit, Question
from pellucid.insights.controls import controls_of
from pellucid.insights.line import Cancelled
from pellucid.insights.reading import read_body
from pellucid.testing import fingerprint
from tests.insights.shows import SHOWS, ask, doubled, halved, images, seeded, several, texts

every_show = pytest.mark.parametrize("name", SHOWS)
PLAIN = [info.name for info in pellucid.methods() if not info.needs_layer]


def result(events):
    assert events[-1]["kind"] == "result", events[-1]
    return events[-1]


@every_show
def test_about_tells_everything_a_page_needs_as_json(name):
    shown = SHOWS[name]()
    [about] = ask(shown.desk, "about")
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    assert {method["name"] for method in about["methods"]} == {info.name for info in pellucid.methods()}
    for method in about["methods"]:
        assert all(control["help"] for control in method["arguments"])


@every_show
def test_predictions_are_those_of_the_model(name):
    shown = SHOWS[name]()
    rows = [row for event in ask(shown.desk, "predictions") for row in event.get("rows", ())]
    exhibit = shown.desk._exhibit
    for row in rows:
        example = exhibit.examples[row["index"]]
        output = exhibit.models[0](*exhibit.inputs_of(example.raw), *example.additional)
        assert row["label"] == example.label
        if output.shape[1] > 1:
            assert row["predicted"] == int(output.argmax())
            assert row["confidence"] == pytest.approx(output.softmax(1).max().item(), rel=1e-12)
        else:
            assert row["value"] == f"{output.item():.4g}"


def test_predictions_stream_and_say_when_they_are_all():
    events = ask(images(200).desk, "predictions")
    assert [event["kind"] for event in events] == ["predictions"] * 40 + ["done"]
    assert events[-1] == {"kind": "done", "total": 200, "notes": []}


@pytest.mark.parametrize("method", PLAIN)
def test_an_answer_is_what_explain_gives(method):
    shown = images()
    exhibit = shown.desk._exhibit
    found = result(ask(shown.desk, "explain", example=3, method=method, target=1))
    x = doubled(exhibit.examples[3].raw[0])
    others = doubled(torch.cat([exhibit.examples[i].raw[0] for i in (0, 1, 2, 4)]))
    info = pellucid.registry.method_named(method)
    arguments = {"seed": 0} if info.takes("seed") else {}
    if info.takes("baselines"):
        arguments["baselines"] = others if info.attribution.takes_distribution else halved(x)
    if method == "shapley_values":
        arguments["feature_mask"] = (torch.arange(6)[:, None] // 2 * 3 + torch.arange(6) // 2)[None, None]
    inputs = torch.cat([x, others]) if method == "feature_permutation" else x
    with pellucid.recording(quiet=True):
        expected = pellucid.explain(exhibit.models[0], inputs, method, 1, **arguments)
    shown_values = torch.tensor(found["maps"][0]["values"], dtype=torch.float64)
    assert torch.equal(shown_values, expected.attributions[0].flatten())
    assert found["sum"] == pytest.approx(float(expected.attributions[0].sum()), abs=1e-12)
    assert found["delta"] == (None if expected.delta is None else float(expected.delta[0]))
    assert found["output"] == float(expected.outputs[0, 1])


@every_show
@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift", "gradient_shap", "feature_ablation", "lime"])
def test_every_kind_of_feature_has_an_answer(name, method):
    shown = SHOWS[name]()
    for model in range(len(shown.desk._exhibit.models)):
        for target in ("label", "predicted", 0):
            events = ask(shown.desk, "explain", example=2, model=model, method=method, target=target)
            found = result(events)
            assert json.loads(json.dumps(events, allow_nan=False)) == events
            kinds = [feature.kind for feature in shown.desk._exhibit.features]
            assert [view["kind"] for view in events[0]["inputs"]] == kinds == [m["kind"] for m in found["maps"]]
            assert sum(part["share"] for part in found["contributions"]) == pytest.approx(1.0)


def test_parts_of_several_inputs_are_complete_together():
    found = result(ask(several().desk, "explain", example=1, arguments={"n_steps": 200}))
    assert abs(found["delta"]) < 1e-9
    assert found["verdict"]["level"] == "good"
    assert found["sum"] == pytest.approx(sum(part["sum"] for part in found["contributions"]), abs=1e-12)


@pytest.mark.parametrize("method", ["grad_cam", "layer_conductance", "integrated_gradients"])
def test_a_layer_is_drawn_as_a_figure(method):
    found = result(ask(images().desk, "explain", example=0, method=method, layer="0"))
    assert [part["kind"] for part in found["maps"]] == ["figure"]
    assert base64.b64decode(found["maps"][0]["uri"].partition(",")[2])[1:4] == b"PNG"


def test_a_layer_of_a_text_is_drawn_whatever_its_shape():
    for method in ("grad_cam", "integrated_gradients", "layer_activation"):
        found = result(ask(texts().desk, "explain", example=0, method=method, layer="embedding"))
        assert [part["kind"] for part in found["maps"]] == ["figure"]


def test_every_control_can_be_set():
    desk = images().desk
    for info in pellucid.methods():
        for control in controls_of(info):
            value = control.choices[-1] if control.choices else control.default
            value = 2 if control.name == "grid" else value
            value = {"strides": [1, 1, 1], "sliding_window_shapes": "[1, 2, 2]"}.get(control.name, value)
            layer = "0" if info.needs_layer else None
            events = ask(desk, "explain", example=0, method=info.name, arguments={control.name: value}, layer=layer)
            result(events)


def test_edits_change_what_is_explained_and_nothing_else():
    shown = images()
    exhibit = shown.desk._exhibit
    before = exhibit.examples[0].raw[0].clone()
    edits = (Edit(0, (7, 8), (0.9, 0.1)), Edit(0, (8,), (0.3,)))
    found = result(ask(shown.desk, "explain", example=0, method="deep_lift", target=0, edits=edits))
    changed = before.clone()
    changed.view(-1)[7], changed.view(-1)[8] = 0.9, 0.3
    expected = pellucid.explain(exhibit.models[0], 2 * changed, "deep_lift", 0, baselines=changed)
    assert torch.equal(
        torch.tensor(found["maps"][0]["values"], dtype=torch.float64), expected.attributions[0].flatten()
    )
    assert torch.equal(exhibit.examples[0].raw[0], before)


def test_a_token_is_replaced_removed_and_refused():
    desk = texts().desk
    [prediction] = [
        e for e in ask(desk, "explain", example=0, edits=(Edit(0, token=4, text="unkind"),)) if "inputs" in e
    ]
    assert prediction["inputs"][0]["tokens"] == ["[CLS]", "the", "film", "was", "un", "##kind", "[PAD]"]
    removed = ask(desk, "explain", example=0, edits=(Edit(0, token=4),))[0]
    assert removed["inputs"][0]["tokens"][4] == "[PAD]"
    for edit in (Edit(0, token=0, text="film"), Edit(0, token=9, text="film"), Edit(0, token=2, text="qwerty")):
        with pytest.raises(InvalidValueError):
            ask(desk, "explain", example=0, edits=(edit,))
    with pytest.raises(InvalidValueError, match="room for 3"):
        ask(desk, "explain", example=0, edits=(Edit(0, token=2, text="unkind unkind"),))


WRONG = [
    {"example": 99},
    {"example": -1},
    {"example": 0, "model": 1},
    {"example": 0, "model": -1},
    {"example": 0, "method": "no_such"},
    {"example": 0, "method": "grad_cam"},
    {"example": 0, "layer": "no.such"},
    {"example": 0, "method": "kernel_shap", "layer": "0"},
    {"example": 0, "arguments": {"no_such": 1}},
    {"example": 0, "arguments": {"quadrature": "no_such"}},
    {"example": 0, "arguments": {"tolerance": "much"}},
    {"example": 0, "arguments": {"baseline": "no_such"}},
    {"example": 0, "arguments": {"inputs": 1}},
    {"example": 0, "edits": (Edit(1, (0,), (0.0,)),)},
    {"example": 0, "edits": (Edit(0, (36,), (0.0,)),)},
    {"example": 0, "edits": (Edit(0, (-1,), (0.0,)),)},
    {"example": 0, "edits": (Edit(0, (0, 1), (0.0,)),)},
    {"example": 0, "edits": (Edit(0, token=1, text="x"),)},
    {"example": 0, "target": 3},
    {"example": 0, "target": -1},
    {"example": 0, "method": "lime", "arguments": {"grid": 0}},
    {"example": 0, "arguments": {"internal_batch_size": 0}},
]


@pytest.mark.parametrize("body", WRONG, ids=str)
def test_what_cannot_be_asked_is_refused_before_the_first_event(body):
    desk, events = images().desk, []
    with pytest.raises((InvalidValueError, InvalidTypeError)):
        desk.answer("explain", Question(**body), pellucid.insights.line.Line(events.append, lambda: False))
    assert not events


@pytest.mark.parametrize("body", [{"arguments": {"n_steps": 0}}, {"arguments": {"n_steps": "many"}}])
def test_what_only_the_method_can_refuse_comes_as_an_event(body):
    error = ask(images().desk, "explain", example=0, **body)[-1]
    assert error["kind"] == "error"
    assert error["source"] == "question"


def test_numbers_are_no_words():
    with pytest.raises(InvalidTypeError, match="token and text"):
        ask(texts().desk, "explain", example=0, edits=(Edit(0, (2,), (-5.0,)),))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "[1, [2, -1e999]]"])
def test_numbers_in_a_request_are_finite(number):
    for body in (f'{{"example": 0, "arguments": {{"stdevs": {number}}}}}',):
        with pytest.raises(InvalidValueError):
            read_body("explain", body)
        with pytest.raises(InvalidValueError):
            read_body("export", f'{{"form": "png", "question": {body}}}')


def test_too_many_thumbnails_are_refused():
    with pytest.raises(InvalidValueError, match="200"):
        ask(images().desk, "thumbnails", examples=(0,) * 201)


@every_show
def test_thumbnails_are_small(name):
    [event] = ask(SHOWS[name]().desk, "thumbnails", examples=(0, 1, 2))
    assert [item["index"] for item in event["items"]] == [0, 1, 2]
    assert len(json.dumps(event, allow_nan=False)) < 20_000


class Fails(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("the wheels came off")


def failing(*, transform=None, model=None):
    feature = GeneralFeature("row", ["a", "b"], input_transforms=transform)
    good = torch.nn.Linear(2, 2)
    return AttributionVisualizer(model or good, ["n", "y"], feature, [Batch(torch.ones(2, 2), None)])


def torn(x):
    raise KeyError("torn")


@pytest.mark.parametrize(("route", "body"), [("predictions", {}), ("explain", {"example": 0})])
def test_what_users_code_raises_comes_as_an_event(route, body):
    for shown, said in [(failing(model=Fails()), "wheels"), (failing(transform=torn), "torn")]:
        error = ask(shown.desk, route, **body)[-1]
        assert (error["kind"], error["source"]) == ("error", "model")
        assert said in error["message"]


def test_a_data_set_that_breaks_is_told_and_what_was_read_stays():
    def dataset():
        yield Batch(torch.ones(2, 2), None)
        raise OSError("disk gone")

    shown = AttributionVisualizer(torch.nn.Linear(2, 2), ["n", "y"], GeneralFeature("row", ["ab"]), dataset())
    events = ask(shown.desk, "predictions")
    assert [event["kind"] for event in events] == ["predictions", "error"]
    assert "disk gone" in events[-1]["message"]
    result(ask(shown.desk, "explain", example=1))


@pytest.mark.parametrize("method", ["integrated_gradients", "lime", "feature_ablation", "shapley_values"])
def test_a_cancelled_answer_ends_and_leaves_nothing(method):
    shown = images()
    exhibit = shown.desk._exhibit
    raw = exhibit.examples[0].raw
    before = fingerprint(exhibit.models[0], raw)
    with pytest.raises(Cancelled):
        ask(shown.desk, "explain", cancelled=lambda: True, example=0, method=method)
    with pytest.raises(Cancelled):
        ask(shown.desk, "predictions", cancelled=lambda: True)
    assert fingerprint(exhibit.models[0], raw) == before


def negated(x):
    return x.neg_()


class Writes(torch.nn.Module):
    """A model in training mode that writes into its input, its buffers and its further argument."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(1))
        self.double()

    def forward(self, x, scale):
        scale.mul_(2)
        self.calls += 1
        return self.head(self.drop(x.mul_(3)))


def test_nothing_of_the_user_is_changed():
    raw, scale, net = seeded(8, 2), seeded(8, seed=1), Writes()
    feature = GeneralFeature(
        "row", ["a", "b"], baseline_transforms=negated, input_transforms=negated, visualization_transform=negated
    )
    shown = AttributionVisualizer(net, ["n", "y"], feature, [Batch(raw, None, scale)])
    before, state = (raw.clone(), scale.clone()), torch.get_rng_state()
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    ask(shown.desk, "predictions")
    ask(shown.desk, "thumbnails", examples=(0, 1))
    ask(shown.desk, "explain", example=1, method="saliency", edits=(Edit(0, (0,), (9.0,)),))
    result(ask(shown.desk, "explain", example=1, method="integrated_gradients"))
    ask(shown.desk, "export", question=Question(2), form="json")
    assert torch.equal(raw, before[0])
    assert torch.equal(scale, before[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())


def test_values_that_are_not_finite_have_a_word_in_json():
    def model(x):
        return torch.stack([x.sum(1) / 0, x.sum(1)], 1)

    shown = AttributionVisualizer(model, ["n", "y"], GeneralFeature("row", ["a", "b"]), [Batch(torch.ones(1, 2), None)])
    events = ask(shown.desk, "explain", example=0, target=0, method="saliency")
    json.dumps(events, allow_nan=False)
    assert events[-1]["maps"][0]["values"] == [None, None]
    assert "NonFiniteWarning" in {warning["category"] for warning in events[-1]["warnings"]}


@pytest.mark.parametrize("form", ["png", "svg", "json", "safetensors"])
@every_show
def test_exports_hold_the_explanation(name, form, tmp_path):
    desk = SHOWS[name]().desk
    file = ask(desk, "export", question=Question(1, method="integrated_gradients", target=0), form=form)[-1]
    assert file["kind"] == "file", file
    content = base64.b64decode(file["base64"])
    if form == "safetensors":
        path = tmp_path / file["name"]
        path.write_bytes(content)
        stored = pellucid.load(path)
        assert float(sum(part.sum() for part in tuple(stored.attributions))) == pytest.approx(
            result(ask(desk, "explain", example=1, target=0))["sum"], abs=1e-12
        )
    elif form == "json":
        assert json.loads(content)["result"]["sum"] == result(ask(desk, "explain", example=1, target=0))["sum"]
    else:
        assert content[:4] in {b"\x89PNG", b"<?xm"}


def test_examples_are_read_no_further_than_they_are_needed():
    read = []

    def dataset():
        for place in range(1000):
            read.append(place)
            yield Batch(torch.full((4, 2), float(place)), None)

    feature = GeneralFeature("row", ["a", "b"])
    shown = AttributionVisualizer(
        torch.nn.Linear(2, 2), ["n", "y"], feature, dataset(), config=PageConfig(max_examples=10)
    )
    assert not read
    shown.visualize(FilterConfig(num_examples=2))
    assert len(read) == 1
    done = ask(shown.desk, "predictions")[-1]
    assert done["total"] == 10
    assert "first 10" in done["notes"][0]
    assert len(read) == 3


def test_a_regression_that_lies_between_0_and_1_has_no_classes():
    shown = AttributionVisualizer(
        lambda x: x.mean(1), [], GeneralFeature("row", ["a"]), [Batch(torch.ones(2, 1), None)]
    )
    [row, _] = ask(shown.desk, "predictions")[0]["rows"]
    assert (row["predicted"], row["confidence"], row["value"]) == (None, None, "1")


def test_probabilities_are_taken_as_they_are_and_scores_go_through_a_softmax():
    rows = torch.tensor([[0.2, 0.8], [0.9, 0.1]])
    feature = ImageFeature("x", visualization_transform=lambda x: x[None, None])
    as_they_are = AttributionVisualizer(lambda x: x, ["n", "y"], feature, [Batch(rows, None)])
    assert ask(as_they_are.desk, "predictions")[0]["rows"][0]["confidence"] == pytest.approx(0.8)
    scored = AttributionVisualizer(lambda x: x * 3, ["n", "y"], feature, [Batch(rows, None)])
    expected = float((rows[0] * 3).double().softmax(0).max())
    assert ask(scored.desk, "predictions")[0]["rows"][0]["confidence"] == pytest.approx(expected)
    own = AttributionVisualizer(lambda x: x * 3, ["n", "y"], feature, [Batch(rows, None)], torch.sigmoid)
    assert ask(own.desk, "predictions")[0]["rows"][0]["confidence"] == pytest.approx(float(torch.tensor(2.4).sigmoid()))
