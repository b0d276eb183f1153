"""What stands beside the methods gets anything at all: statistics, loaders, rules, readable inputs, searches."""

import inspect

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pellucid
from pellucid import attr, lrp, robust, rules
from pellucid.attr.models import Lasso, LeastSquares
from tests.fuzz.asking import Gives, answer, draw, fuzzed, odd_values, refused
from tests.models import mlp

MODEL = mlp()
X = draw((2, 5), 3)
PICTURE = Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8))


def large(value):
    return isinstance(value, int | float) and abs(value) > 1000


def summary(stats, *samples):
    summarizer = attr.Summarizer(stats)
    for sample in samples:
        summarizer.update(sample)
    return summarizer.summary


def classes(samples, labels):
    summarizer = attr.ClassSummarizer([attr.Mean()])
    summarizer.update(samples, labels)
    return summarizer.class_summaries


STATISTICS = {
    "order": lambda v: summary([attr.Var(order=v), attr.StdDev(order=v)], X),
    "name": lambda v: summary([attr.Mean(name=v)], X),
    "stats": lambda v: summary(v, X),
    "stat": lambda v: summary([v], X),
    "sample": lambda v: summary([*attr.CommonStats(), attr.Sum()], v, v),
    "other sample": lambda v: summary([attr.Mean(), attr.Max()], X, v),
    "part": lambda v: summary([attr.Mean()], (X, v)),
    "function": lambda v: summary([attr.Max(max_fn=v)], X, X),
    "folded": lambda v: summary([attr.Sum(add_fn=Gives(v))], X, X),
    "labels": lambda v: classes(X, v),
    "several": lambda v: classes(v, [0, 1]),
    "single": lambda v: attr.SummarizerSingleTensor([attr.Mean()]).add(v),
}


@given(part=st.sampled_from(sorted(STATISTICS)), value=odd_values())
@fuzzed(60)
def test_statistics(part, value):
    answer(lambda: STATISTICS[part](value))


def over(batches=(X, X), output=None, **more):
    function = (lambda v, *_, **__: v.double().reshape(len(v), -1).sum(1)) if output is None else output
    return attr.DataLoaderAttribution(attr.FeatureAblation(function)).attribute(list(batches), **more)


LOADED = {
    "batch": lambda v: over([v]),
    "later": lambda v: over([X, v]),
    "beside": lambda v: over([(X, v)]),
    "by name": lambda v: over([{"v": X, "other": v}]),
    "output": lambda v: over(output=Gives(v)),
    "role": lambda v: over([(X, X)], input_roles=(0, v)),
    "reduced": lambda v: over(reduce=Gives(v)),
    "metric": lambda v: over(to_metric=Gives(v)),
    **{
        n: lambda v, n=n: over(**{n: v})
        for n in ("input_roles", "baselines", "feature_mask", "reduce", "to_metric", "perturbations_per_pass")
    },
}


@given(part=st.sampled_from(sorted(LOADED)), value=odd_values())
@fuzzed(60)
def test_loaders(part, value):
    answer(lambda: LOADED[part](value))


def relevance(composite):
    return attr.LRP(MODEL).attribute(X, target=0, composite=composite)


def assigned(**changed):
    return relevance(lrp.Composite("own", (lrp.Assign(**{"rule": lrp.Epsilon(), **changed}),)))


RULES = (lrp.Epsilon, lrp.EpsilonRule, lrp.Gamma, lrp.GammaRule, lrp.AlphaBeta, lrp.Alpha1_Beta0_Rule, lrp.ZBox)
BOX = {"low": -9.0, "high": 9.0}
RELEVANCE = {
    **{
        f"{rule.__name__} {n}": lambda v, rule=rule, n=n: assigned(rule=rule(**{**(BOX if n in BOX else {}), n: v}))
        for rule in RULES
        for n in inspect.signature(rule).parameters
    },
    **{n: lambda v, n=n: assigned(**{n: v}) for n in ("rule", "operation", "module", "first")},
    "composite": relevance,
    "lines": lambda v: relevance(lrp.Composite("own", v)),
    "softmax": lambda v: relevance(lrp.Composite("own", softmax=v)),
    "by_module": lambda v: rules.by_module(MODEL, v),
}


@given(part=st.sampled_from(sorted(RELEVANCE)), value=odd_values())
@fuzzed(60)
def test_rules(part, value):
    found = answer(lambda: RELEVANCE[part](value))
    assert refused(found) or part == "by_module" or found.shape == X.shape


def template(**changed):
    text = attr.TextTemplateInput(**{"template": "{} {}", "values": ["a", "b"], **changed})
    text.format_attr(torch.ones(1, text.n_itp_features))
    return text.to_model_input(torch.zeros(1, text.n_itp_features))


class Tokenizer:
    """Knows three tokens."""

    def encode(self, text, **_):
        return torch.tensor([[1, 2, 3]])

    def convert_ids_to_tokens(self, ids):
        return [str(i) for i in ids]

    def convert_tokens_to_ids(self, token):
        return 1


def tokens(**changed):
    text = attr.TextTokenInput(**{"text": "a b c", "tokenizer": Tokenizer(), **changed})
    return text.to_model_input(torch.zeros(1, text.n_itp_features))


def masked(**changed):
    image = attr.ImageMaskInput(**{"image": PICTURE, **changed})
    return image.to_model_input(torch.zeros(1, image.n_itp_features))


def kernel(mode="cosine", width=1.0):
    similarity = attr.get_exp_kernel_similarity_function(mode, width)
    return attr.Lime(lambda v: (v**3).sum(1), similarity_func=similarity).attribute(X, n_samples=8, seed=1)


def fitted(surrogate):
    return attr.Lime(lambda v: (v**3).sum(1), surrogate).attribute(X, n_samples=8, seed=1)


READ = {
    **{n: lambda v, n=n: template(**{n: v}) for n in ("template", "values", "baselines", "mask")},
    **{f"token {n}": lambda v, n=n: tokens(**{n: v}) for n in ("text", "tokenizer", "baselines", "skip_tokens")},
    **{n: lambda v, n=n: masked(**{n: v}) for n in ("image", "mask", "mask_list", "baseline", "processor_fn")},
    "region": lambda v: masked(mask_list=[v]),
    "present": lambda v: attr.ImageMaskInput(PICTURE).to_model_input(v),
    "pixels": lambda v: attr.ImageMaskInput(PICTURE).format_pixel_attr(v),
    "words": lambda v: attr.TextTemplateInput("{}", ["a"]).format_attr(v),
    "drawn": lambda v: attr.ProductBaselines([v, [1]])(),
    "drawn by name": lambda v: attr.ProductBaselines({("a", "b"): v})(),
    "seed": lambda v: attr.ProductBaselines([[1], [2]], seed=v)(),
    "id": lambda v: attr.TokenReferenceBase(v).generate_reference(2, torch.device("cpu")),
    "height": lambda v: None if large(v) else attr.quad_tree(v, 3),
    "depth": lambda v: attr.quad_tree(3, 3, v),
    "mode": lambda v: kernel(mode=v),
    "width": lambda v: kernel(width=v),
    "share": lambda v: fitted(Lasso(v)),
    "ridge": lambda v: fitted(LeastSquares(v)),
    "key": lambda v: attr.Saliency(pellucid.select_output(lambda x: {"a": x}, v)).attribute(X, 0),
    "selected": lambda v: attr.Saliency(pellucid.select_output(Gives(v), "a")).attribute(X, 0),
    "layer": lambda v: pellucid.rest_of(MODEL, v, X),
    "at_input": lambda v: pellucid.rest_of(MODEL, MODEL[0], X, at_input=v),
    "rest": pellucid.rest_of(MODEL, MODEL[0], X),
    "embedding": lambda v: attr.configure_interpretable_embedding_layer(mlp(), v),
    "tunnel": attr.NoiseTunnel,
}


@given(part=st.sampled_from(sorted(READ)), value=odd_values())
@fuzzed(100)
def test_readable_inputs_and_other_helpers(part, value):
    answer(lambda: READ[part](value))


def searched(**changed):
    how = {"arg_name": "size", "arg_min": 0.0, "arg_max": 2.0, "arg_step": 0.5}
    given_ = {"inputs": X, "target": 0, **changed.pop("asked", {})}
    built = {"forward_func": lambda *_: MODEL(X), "attack": lambda v, **_: v, **how, **changed}
    return robust.MinParamPerturbation(**built).evaluate(**given_)


def compared(attack=lambda v, **_: v, added=None, asked=None, **changed):
    comparator = robust.AttackComparator(**{"forward_func": lambda *_: MODEL(X), "metric": lambda o, **_: o, **changed})
    comparator.add_attack(attack, **{"name": "a", "num_attempts": 2, **(added or {})})
    for _ in range(2):
        comparator.evaluate(**{"inputs": X, "perturbations_per_eval": 2, **(asked or {})})
    return comparator.summary()


ADDED = ("name", "num_attempts", "apply_before_preproc", "attack_kwargs", "additional_attack_arg_names")
SEARCHED = {
    "outputs": lambda v: searched(forward_func=Gives(v)),
    "perturbed": lambda v: searched(attack=Gives(v)),
    "correct": lambda v: searched(correct_fn=Gives(v)),
    "prepared": lambda v: searched(preproc_fn=Gives(v)),
    "halves": lambda v: searched(correct_fn=Gives(v), mode="binary"),
    **{
        n: lambda v, n=n: searched(asked={n: v})
        for n in ("inputs", "target", "perturbations_per_eval", "attack_kwargs", "correct_fn_kwargs", "per_example")
    },
    "each": lambda v: searched(asked={"inputs": v, "per_example": True}),
    "measured": lambda v: compared(metric=Gives(v)),
    "outputs compared": lambda v: compared(forward_func=Gives(v), metric=lambda *_: 1.0),
    "attacked": lambda v: compared(attack=Gives(v)),
    "prepared and compared": lambda v: compared(preproc_fn=Gives(v)),
    **{n: lambda v, n=n: None if large(v) else compared(added={n: v}) for n in ADDED},
    "together": lambda v: compared(asked={"perturbations_per_eval": v}),
    "successes": lambda v: robust.wilson_interval(v, 3),
    "trials": lambda v: robust.wilson_interval(1, v),
    "confidence": lambda v: robust.wilson_interval(1, 3, v),
}


@given(part=st.sampled_from(sorted(SEARCHED)), value=odd_values())
@fuzzed(100)
def test_searches_and_comparisons_of_attacks(part, value):
    answer(lambda: SEARCHED[part](value))
