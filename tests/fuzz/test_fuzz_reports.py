"""One part of a report, a comparison or the visualizer is anything at all: a page, or an error of ours."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pellucid
from pellucid import insights, report, testing
from pellucid.attr import Saliency
from tests.fuzz.asking import Gives, answer, draw, fuzzed, odd_values, refused
from tests.models import mlp

MODEL = mlp()
X = draw((2, 5), 3)
FOUND = pellucid.explain(MODEL, X, "saliency", target=0)
IMAGES = pellucid.explain(lambda v: v.square().sum((1, 2, 3)), draw((2, 3, 4, 4), 1), "saliency")
COMPARED = pellucid.compare(MODEL, X, ["saliency", "input_x_gradient"], ["complexity"], target=0)
SUBJECT = report.subject_of(FOUND)


def fields(cls):
    return sorted(field.name for field in dataclasses.fields(cls))


@given(name=st.sampled_from(fields(report.Subject)), value=odd_values())
@fuzzed(20)
def test_subjects(name, value):
    answer(lambda: report.render_report([FOUND], dataclasses.replace(SUBJECT, **{name: value})))


@given(name=st.sampled_from(fields(report.Run)), value=odd_values())
@fuzzed(15)
def test_runs(name, value):
    answer(lambda: report.render_report([FOUND], SUBJECT, report.Run(**{name: value})))


@given(name=st.sampled_from(fields(report.Section)), value=odd_values())
@fuzzed(10)
def test_sections(name, value):
    parts = {"title": "a", "explanation": FOUND, name: value}
    answer(lambda: report.render_overview("t", [report.Section(**parts)]))


RENDERED = {
    "explanations": lambda v: report.render_report(v, SUBJECT),
    "explanation": lambda v: report.render_report([v], SUBJECT),
    "subject": lambda v: report.render_report([FOUND], v),
    "run": lambda v: report.render_report([FOUND], SUBJECT, v),
    "comparison": lambda v: report.render_report([FOUND], SUBJECT, None, v),
    "heading": lambda v: report.render_overview(v, [report.Section("a", FOUND)]),
    "sections": lambda v: report.render_overview("a", v),
    "compared": lambda v: report.render_comparison(COMPARED, run=v),
    "verdict": lambda v: report.verdict_of(FOUND, v),
    "output": report.value_text,
    "certificate": report.certificate_view,
    "method": report.method_title,
    "metric": COMPARED.plot,
    "axes": lambda v: COMPARED.plot("complexity", ax=v),
    "cell": lambda v: COMPARED.cell(v, "complexity"),
    "best": COMPARED.best,
    "names": lambda v: FOUND.labelled(names=v).to_html(),
    "tokens": lambda v: FOUND.labelled(tokens=v).to_html(),
    "tokens of images": lambda v: IMAGES.labelled(tokens=v).to_html(),
    "example": IMAGES.plot,
    "kind": lambda v: FOUND.plot(kind=v),
    "top": lambda v: FOUND.plot(top=v),
    "fingerprint": lambda v: testing.fingerprint(MODEL, v),
    "properties": lambda v: testing.check_method(Saliency, properties=v),
}


@given(part=st.sampled_from(sorted(RENDERED)), value=odd_values())
@fuzzed(50)
def test_parts(part, value):
    answer(lambda: RENDERED[part](value))


def shown(**changed):
    """What a visualizer of a small table shows, with one thing changed."""
    raw = changed.pop("raw", {})
    config = {"num_examples": 2, "attribution_method": "saliency", **changed.pop("filter", {})}
    given_ = {
        "models": lambda v, *_: MODEL(X[:1]) + v.double().reshape(len(v), -1).sum(1, keepdim=True),
        "classes": ["a", "b", "c"],
        "features": insights.GeneralFeature("row", list("vwxyz")),
        "dataset": [insights.Batch(**{"inputs": X, "labels": torch.tensor([0, 1]), **raw})] if raw is not None else [],
        **changed,
    }
    return insights.AttributionVisualizer(**given_).visualize(insights.FilterConfig(**config))


FEATURES = {
    insights.GeneralFeature: ("name", "categories", "baseline_transforms", "input_transforms"),
    insights.ImageFeature: ("name", "visualization_transform"),
    insights.TextFeature: ("name", "tokenizer", "visualization_transform"),
    insights.TimeSeriesFeature: ("name", "channels", "channel_axis"),
}


def feature(kind, name, value):
    own = {"categories": list("vwxyz")} if kind is insights.GeneralFeature else {}
    return shown(features=kind(**{"name": "row", **own, name: value}))


SHOWN = {
    **{n: lambda v, n=n: shown(**{n: v}) for n in ("models", "classes", "features", "dataset", "score_func", "config")},
    **{n: lambda v, n=n: shown(raw={n: v}) for n in ("labels", "additional_args")},
    **{n: lambda v, n=n: shown(filter={n: v}) for n in fields(insights.FilterConfig)},
    "page": lambda v: shown(config=insights.PageConfig(filter=v)),
    "batch": lambda v: shown(dataset=[v]),
    "use_label": lambda v: shown(use_label_for_attr=v),
    "outputs": lambda v: shown(models=Gives(v)),
    "scores": lambda v: shown(score_func=Gives(v)),
    **{
        f"{kind.__name__} {n}": lambda v, kind=kind, n=n: feature(kind, n, v)
        for kind, names in FEATURES.items()
        for n in names
    },
}


@given(part=st.sampled_from(sorted(SHOWN)), value=odd_values())
@fuzzed(50)
def test_visualizers(part, value):
    answer(lambda: SHOWN[part](value))


@pytest.mark.parametrize("name", ["methods", "metrics"])
def test_members_of_comparisons(name):
    given_ = {"methods": ["saliency"], "metrics": ["complexity"]}

    @given(value=odd_values(), function=st.booleans())
    @fuzzed(10)
    def run(value, function):
        member = [Gives(value) if function else value]
        found = answer(lambda: pellucid.compare(MODEL, X, **{**given_, name: member}, target=0))
        assert refused(found) or isinstance(found, pellucid.Comparison)

    run()
