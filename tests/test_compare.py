"""Comparisons: exact tables, chance, intervals, words, pictures and pages."""

import dataclasses
import html
import json
import math
import re

import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import Attribution, InputXGradient, NoiseTunnel, Saliency
from pellucid.comparison import Cell, Comparison, join
from pellucid.errors import InvalidTypeError, InvalidValueError, UnsupportedModelError
from pellucid.explanation import Cost
from pellucid.intervals import Interval, mean_interval, t_probability, t_quantile
from pellucid.metrics import METRICS, MetricInfo, deletion
from pellucid.testing import changed, fingerprint
from pellucid.verdicts import number
from tests.models import DOUBLE, TwoInputs, mlp

WEIGHTS = torch.tensor([3.0, -2.0, 0.5, 4.0, 1.0, -1.5, 2.5, 0.25], dtype=DOUBLE)


def linear(x):
    return x @ WEIGHTS.to(x)


class Ignorant(Attribution):
    """Noise that depends on nothing but the place in the batch."""

    def attribute(self, inputs, target=None):
        return torch.randn(inputs.shape, generator=torch.Generator().manual_seed(99), dtype=inputs.dtype)


class Reversed(Attribution):
    """The right answer with the wrong sign."""

    def attribute(self, inputs, target=None):
        return -InputXGradient(self.forward_func).attribute(inputs, target)


def examples(count=30, seed=0):
    return torch.rand(count, 8, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) + 0.1


JUDGES = ("deletion", "insertion", "faithfulness_correlation", "sensitivity_n", "comprehensiveness", "infidelity")


@pytest.fixture(scope="module")
def compared():
    methods = {"right": "input_x_gradient", "ignorant": Ignorant, "reversed": Reversed}
    return pellucid.compare(linear, examples(), methods, (*JUDGES, "sparseness", "completeness"))


def test_the_random_baseline_is_beaten_by_a_right_method_and_not_by_an_ignorant_one(compared):
    assert set(compared.beats_random("right")) == set(JUDGES)
    assert compared.beats_random("ignorant") == ()
    assert compared.cell("reversed", "deletion").against_random == "worse"
    assert "reversed" not in compared.leading("infidelity")  # no factor turns its signs round
    assert compared.choice() == "right"
    for name in JUDGES:
        assert compared.best(name) == "right"
        assert compared.cell("right", name).leading
    assert compared.verdict()[0].startswith("Start with right: it is better than random attributions under 6 of 6")
    assert any(
        s.startswith("reversed is worse than random attributions under Deletion, Insertion,")
        for s in compared.verdict()
    )
    assert any(s.startswith("ignorant is not shown to be better") for s in compared.verdict())


def test_the_numbers_are_those_of_the_metrics(compared):
    x = examples()
    exact = x * WEIGHTS
    scores = deletion(linear, x, exact).score
    assert torch.allclose(compared.scores["right", "deletion"], scores)
    cell = compared.cell("right", "deletion")
    assert cell.score.mean == pytest.approx(float(scores.mean()))
    gain = compared.random["deletion"] - scores
    assert cell.gain.mean == pytest.approx(float(gain.mean()))
    half = 2.045230 * float(gain.std()) / math.sqrt(30)  # Student's t with 29 degrees of freedom
    assert cell.gain.low == pytest.approx(float(gain.mean()) - half, rel=1e-5)
    assert torch.allclose(compared.scores["right", "faithfulness_correlation"], torch.ones(30, dtype=DOUBLE))
    assert compared.scores["right", "completeness"].max() < 1e-12
    assert compared.costs["right"].rows == 60
    assert "sparseness" not in compared.random
    assert compared.cell("right", "sparseness").gain is None
    assert compared.cell("right", "sparseness").against_random == ""


def test_an_exact_table_of_a_small_linear_model():
    """One feature matters; removal order is all that deletion sees."""
    weights = torch.tensor([2.0, 0.0], dtype=DOUBLE)
    x = torch.tensor([[1.0, 1.0], [3.0, 1.0]], dtype=DOUBLE)
    found = pellucid.compare(lambda v: v @ weights, x, {"ixg": "input_x_gradient", "reversed": Reversed}, ["deletion"])
    # 2, 0, 0 and 6, 0, 0: areas 1/2 and 3/2; reversed 2, 2, 0 and 6, 6, 0: areas 3/2 and 9/2
    assert found.scores["ixg", "deletion"].tolist() == [0.5, 1.5]
    assert found.scores["reversed", "deletion"].tolist() == [1.5, 4.5]
    assert found.cell("ixg", "deletion").score.mean == 1.0
    assert found.to_dict()["methods"]["reversed"]["deletion"]["mean"] == 3.0
    assert found.best("deletion") == "ixg"


def test_everything_is_repeatable_and_nothing_is_left_behind():
    model, x = mlp(8).requires_grad_(True), examples(6).requires_grad_()
    before = fingerprint(model, [x])
    names = ("saliency", "smoothgrad", "integrated_gradients")
    metrics = ("deletion", "faithfulness_correlation", "sensitivity_max", "parameter_randomisation", "random_logit")
    first = pellucid.compare(model, x, names, metrics)
    assert changed(before, fingerprint(model, [x])) == []
    second = pellucid.compare(model, x, names, metrics)
    for key, scores in first.scores.items():
        assert torch.equal(scores, second.scores[key])
    third = pellucid.compare(model, x, names, metrics, seed=1)
    assert not torch.equal(first.random["deletion"], third.random["deletion"])

    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.count = model, 0

        def forward(self, v):
            self.count += 1
            if self.count == 9:
                raise KeyError("no")
            return self.inner(v)

    with pytest.raises(KeyError):
        pellucid.compare(Fails(), x, names, metrics)
    assert changed(before, fingerprint(model, [x])) == []


def test_the_predicted_class_is_fixed_before_anything_is_perturbed():
    model, x = mlp(8), examples(5)
    own = pellucid.compare(model, x, ["saliency"], ["sensitivity_max", "deletion"])
    fixed = pellucid.compare(model, x, ["saliency"], ["sensitivity_max", "deletion"], model(x).argmax(1))
    for key, scores in own.scores.items():
        assert torch.equal(scores, fixed.scores[key])


def test_arguments_reach_methods_and_metrics():
    model, x, base = mlp(8), examples(5), examples(1, seed=4) / 2
    methods = {
        "few": ("integrated_gradients", {"n_steps": 3}),
        "many": ("integrated_gradients", {"n_steps": 40}),
        "zero": ("integrated_gradients", {"n_steps": 40, "baselines": 0.0}),
        "noisy": (lambda m: NoiseTunnel(Saliency(m)), {"nt_samples": 3, "stdevs": 0.1}),
    }
    found = pellucid.compare(model, x, methods, ["completeness", "sensitivity_max"], baselines=base)
    cells = {m: found.cell(m, "completeness").score.mean for m in methods}
    assert cells["many"] < 1e-9 < cells["few"]
    assert cells["zero"] > 1e-3  # complete, but not between these points
    assert found.costs["few"].rows < found.costs["many"].rows
    assert found.methods == ("few", "many", "zero", "noisy")


def test_tuples_additional_arguments_and_groups():
    a, b = examples(5)[:, :3], examples(5, seed=1)[:, :2]
    masks = torch.tensor([[0, 0, 1]]), torch.tensor([[2, 2]])
    found = pellucid.compare(
        TwoInputs(), (a, b), ["saliency", "integrated_gradients"], ["deletion", "sensitivity_max", "sparseness"], 0,
        baselines=(0.1, 0.2), additional_forward_args=torch.ones(5, dtype=DOUBLE), feature_mask=masks,
    )  # fmt: skip
    expected = deletion(
        TwoInputs(), (a, b), InputXGradient(TwoInputs()).attribute((a, b), 0), 0, (0.1, 0.2), feature_mask=masks
    )
    assert expected.values.shape == (5, 4)
    assert found.examples == 5


def test_a_method_that_the_model_rules_out_is_named_and_the_rest_goes_on():
    model = nn.Sequential(nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 2)).to(DOUBLE)
    found = pellucid.compare(model, examples(3), ["saliency", "guided_backprop"], ["deletion"])
    assert found.methods == ("saliency",)
    assert "rectifier" in found.refused["guided_backprop"]
    assert any(s.startswith("guided_backprop gave no explanation to score") for s in found.verdict())
    assert "Guided backprop" in found.to_html()
    with pytest.raises((UnsupportedModelError, InvalidValueError), match="rectifier"):
        pellucid.compare(model, examples(3), ["guided_backprop"], ["deletion"])


def test_attributions_that_are_not_finite_are_refused_and_the_rest_goes_on():
    class Broken(Attribution):
        def attribute(self, inputs, target=None):
            return inputs / 0

    found = pellucid.compare(linear, examples(3), {"fine": "saliency", "broken": Broken}, ["deletion"])
    assert found.methods == ("fine",)
    assert "NaN or infinite" in found.refused["broken"]


def test_ground_truth_and_pictures():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 1, 6, 6, generator=generator, dtype=DOUBLE)
    weights = torch.zeros(6, 6, dtype=DOUBLE)
    weights[2:4, 2:4] = 1.0
    truth = (weights > 0).expand(12, 1, 6, 6)
    found = pellucid.compare(
        lambda v: (v * weights).sum((1, 2, 3)), x, {"right": "input_x_gradient", "ignorant": Ignorant},
        ("pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy", "road"), ground_truth=truth,
    )  # fmt: skip
    for name in ("pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy"):
        assert found.cell("right", name).score.mean == 1.0
        assert found.cell("ignorant", name).against_random != "better"
    default = pellucid.compare(linear, examples(3), ["saliency"], ground_truth=examples(3) > 0)
    names = [info.name for info in default.metrics]
    assert names[-2:] == ["relevance_mass_accuracy", "relevance_rank_accuracy"]


def fake(scores, random=None, metric="deletion", confidence=0.95):
    """A comparison with given scores, made without a model."""
    costs = {name: Cost(10 * len(values), 1, 0.5) for name, values in scores.items()}
    tensors = {(name, metric): torch.tensor(values) for name, values in scores.items()}
    chance = {} if random is None else {metric: torch.tensor(random)}
    return Comparison(tuple(scores), (METRICS[metric],), tensors, chance, costs, {}, confidence)


def test_leading_methods_are_those_that_cannot_be_told_apart():
    low, high = [1.0, 2.0, 3.0, 4.0], [1.1, 2.1, 3.1, 4.1]
    found = fake({"a": low, "b": high, "c": [4.0, 3.0, 2.0, 1.01]}, [9.0, 9.0, 9.0, 9.0])
    assert found.best("deletion") == "a"
    assert found.leading("deletion") == ("a", "c")  # b is worse by 0.1 in every example, c only on average
    assert not found.cell("b", "deletion").leading


def test_one_example_and_undefined_scores():
    one = fake({"a": [1.0], "b": [2.0]}, [3.0])
    assert math.isnan(one.cell("a", "deletion").score.low)
    assert one.cell("a", "deletion").against_random == "unclear"
    assert one.choice() is None
    assert "1 example" in one.verdict()[0]
    nan = float("nan")
    some = fake({"a": [1.0, nan, 3.0], "b": [nan, nan, nan]}, [3.0, 4.0, 5.0])
    assert some.cell("a", "deletion").score == mean_interval(torch.tensor([1.0, 3.0]), 0.95)
    assert some.best("deletion") == "a"
    assert some.cell("b", "deletion").score.count == 0
    assert any("no score" in s for s in some.verdict())
    assert json.loads(json.dumps(some.to_dict(), allow_nan=False))["scores"]["b"]["deletion"] == [None] * 3
    assert "n/a" in str(some)
    assert "n/a" in some.to_html()
    nothing = fake({"b": [nan, nan]}, [1.0, 2.0])
    assert nothing.leading("deletion") == ()
    with pytest.raises(InvalidValueError, match="no example"):
        nothing.best("deletion")
    nothing.plot()
    str(nothing)
    nothing.to_html()


def test_words_when_nothing_can_be_said():
    described = fake({"a": [0.5, 0.6]}, metric="sparseness")
    assert "do not tell right from wrong" in described.verdict()[0]
    lost = fake({"a": [3.0, 3.1, 2.9], "b": [3.0, 3.2, 2.7]}, [3.0, 3.05, 2.95])
    assert lost.verdict()[0].startswith("No method is better than random")


def test_joining_parts():
    whole = fake({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0, 2.0]}, [4.0, 5.0, 6.0])
    parts = fake({"a": [1.0], "b": [2.0]}, [4.0]), fake({"a": [2.0, 3.0], "b": [2.0, 2.0]}, [5.0, 6.0])
    joined = join(parts)
    assert joined.to_dict()["scores"] == whole.to_dict()["scores"]
    assert joined.costs["a"].rows == 30
    refusing = dataclasses.replace(fake({"a": [2.0]}, [5.0]), refused={"b": "it broke"})
    joined = join([parts[0], refusing])
    assert joined.methods == ("a",)
    assert joined.refused == {"b": "it broke"}
    with pytest.raises(InvalidValueError, match="it broke"):
        join([fake({"b": [2.0]}, [5.0]), dataclasses.replace(fake({"a": [2.0]}, [5.0]), refused={"b": "it broke"})])


def test_intervals():
    scipy = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 3, 4, 7, 29, 400):
        for value in (0.0, 0.3, 1.0, 2.5, 40.0):
            assert t_probability(value, freedom) == pytest.approx(scipy.t.cdf(value, freedom), abs=1e-13)
        for probability in (0.6, 0.95, 0.975, 0.9995):
            assert t_quantile(probability, freedom) == pytest.approx(scipy.t.ppf(probability, freedom), rel=1e-9)
    values = torch.tensor([1.0, 4.0, 2.0, float("nan"), 7.0])
    found = mean_interval(values, 0.9)
    low, high = scipy.t.interval(0.9, 3, 3.5, scipy.sem([1, 4, 2, 7]))
    assert (found.low, found.high, found.count) == (pytest.approx(low), pytest.approx(high), 4)
    assert mean_interval(torch.tensor([2.0, 2.0]), 0.95) == Interval(2.0, 2.0, 2.0, 2)


def test_intervals_hold_as_often_as_they_say():
    draws = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    held = [(i := mean_interval(row, 0.9)).low <= 0 <= i.high for row in draws]
    assert sum(held) / 2000 == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(1.23456, 1.13456, 1.33456, 9), "1.23 ± 0.10"),
        (Interval(-12.3, -20.3, -4.3, 9), "-12 ± 8"),
        (Interval(0.5, 0.5, 0.5, 9), "0.5 ± 0"),
        (Interval(1.0, 1.0 - 1e-12, 1.0 + 1e-12, 9), "1 ± 0"),
        (Interval(2.0, math.nan, math.nan, 1), "2"),
        (Interval(math.nan, math.nan, math.nan, 0), "n/a"),
        (Interval(123456.0, 123000.0, 123912.0, 9), "1.2e+05 ± 5e+02"),
    ],
)
def test_numbers(interval, text):
    assert number(interval) == text


HOSTILE = '<script>alert("1")</script>$x^2$&'


def test_pages_escape_what_users_name(compared):
    renamed = {"right": HOSTILE, "ignorant": "b", "reversed": "c"}
    found = Comparison(
        tuple(renamed[m] for m in compared.methods),
        compared.metrics,
        {(renamed[m], n): s for (m, n), s in compared.scores.items()},
        compared.random,
        {renamed[m]: c for m, c in compared.costs.items()},
        {"<img src=x onerror=alert(1)>": "<b>broken</b>"},
        warnings={"b": (pellucid.Notice("<i>", "<u>note</u>"),)},
    )
    for page in (found.to_html(title="<h1>mine</h1>"), found._repr_html_()):
        assert "<script" not in page
        assert "<img" not in page
        assert "<b>broken" not in page
        assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in page
    page = found.to_html(title="<h1>mine</h1>")
    assert "&lt;h1&gt;mine" in page
    assert "<u>note" not in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "default-src 'none'" in page
    found.plot()[0].savefig(__import__("io").BytesIO())  # no mathematics is read into names


def test_the_page_says_what_the_table_says(compared, tmp_path):
    page = compared.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "Start with right" in page
    assert "Random attributions" in page
    assert page.count('scope="row"') == 4
    for info in compared.metrics:
        assert info.title in page
    assert "prefers-color-scheme: dark" in page


def test_the_text_table(compared):
    lines = str(compared).splitlines()
    assert lines[0].startswith("30 examples: mean ± half the 95% interval")
    assert lines[2].split()[0] == "method"
    assert [line.split()[0] for line in lines[4:8]] == ["right", "ignorant", "reversed", "random"]
    assert "▲*" in lines[4]
    assert "▼" in lines[6]
    assert repr(compared) == "Comparison(3 methods, 8 metrics, 30 examples)"


def test_plots(compared):
    figure, axes = compared.plot()
    assert len(axes) == len(compared.metrics)
    assert axes[0].get_title(loc="left") == "Deletion ↓"
    figure, ax = compared.plot("deletion")
    assert compared.plot("insertion", ax=ax) == (figure, ax)
    with pytest.raises(InvalidValueError, match="ax"):
        compared.plot(ax=ax)
    with pytest.raises(InvalidValueError, match="not compared"):
        compared.plot("road")


def test_cells(compared):
    assert isinstance(compared.cell("random", "deletion"), Cell)
    for method, metric in (("nobody", "deletion"), ("right", "road"), ("random", "sparseness")):
        with pytest.raises(InvalidValueError):
            compared.cell(method, metric)


def test_a_metric_of_ones_own():
    own = MetricInfo(
        "largest", "Largest", "complexity", "How large is the largest?", 0.0, math.inf, "higher", frozenset(), False,
        lambda setting: setting.attributions.abs().flatten(1).amax(1),
    )  # fmt: skip
    found = pellucid.compare(linear, examples(3), ["saliency"], [own])
    assert found.scores["saliency", "largest"].tolist() == [4.0] * 3


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"methods": "saliency"}, InvalidTypeError, "several"),
        ({"methods": []}, InvalidValueError, "methods"),
        ({"methods": ["saliencies"]}, InvalidValueError, "no such method"),
        ({"methods": [3]}, InvalidTypeError, "method"),
        ({"methods": ["saliency", "saliency"]}, InvalidValueError, "twice"),
        ({"methods": {"random": "saliency"}}, InvalidValueError, "random"),
        ({"methods": {"a": ("saliency", {"n_steps": 3})}}, InvalidTypeError, "n_steps"),
        ({"methods": {"a": ("saliency", 3)}}, InvalidTypeError, "pair"),
        ({"methods": ["gradient_shap"]}, InvalidTypeError, "baselines is missing"),
        ({"metrics": "deletion"}, InvalidTypeError, "metrics"),
        ({"metrics": []}, InvalidValueError, "metrics"),
        ({"metrics": ["deletions"]}, InvalidValueError, "no such metric"),
        ({"metrics": ["pointing_game"]}, InvalidValueError, "ground_truth"),
        ({"metrics": ["road"]}, InvalidValueError, "images"),
        ({"metrics": ["parameter_randomisation"]}, InvalidValueError, "Module"),
        ({"baselines": torch.zeros(2, 8)}, InvalidValueError, "baselines"),
        ({"confidence": 1.0}, InvalidValueError, "confidence"),
        ({"confidence": "high"}, InvalidValueError, "confidence"),
        ({"n_random": 0}, InvalidValueError, "n_random"),
        ({"inputs": torch.zeros(0, 8)}, InvalidValueError, "empty batch"),
        ({"taget": 0}, TypeError, "taget"),
    ],
)
def test_refused_before_the_model_runs(change, error, words):
    calls = []

    def model(x):
        calls.append(1)
        return linear(x)

    with pytest.raises(error, match=words):
        pellucid.compare(**{"model": model, "inputs": examples(3), **change})
    assert not calls


def test_a_target_is_needed_for_maps():
    with pytest.raises(InvalidValueError, match="values per example"):
        pellucid.compare(lambda v: v[:, :, None] * torch.ones(4, dtype=DOUBLE), examples(3), ["saliency"], ["deletion"])
