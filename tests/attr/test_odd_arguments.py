"""What rules, statistics, loaders, readable inputs and other helpers refuse by name."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid
from pellucid import attr, lrp, metrics, rules
from pellucid.attr.models import Lasso, LeastSquares
from pellucid.errors import InvalidTypeError, InvalidValueError, PellucidError
from tests.models import DOUBLE, mlp

X = torch.randn(2, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
META = torch.zeros(2, 3, device="meta")
HUGE = 10**400
PICTURE = Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8))
CHANGING = [X, (X, X)]


class Tokenizer:
    """Knows three tokens."""

    def encode(self, text, **_):
        return torch.tensor([[1, 2, 3]])

    def convert_ids_to_tokens(self, ids):
        return [str(i) for i in ids]


def summary(stats, *samples):
    summarizer = attr.Summarizer(stats)
    for sample in samples:
        summarizer.update(sample)
    return summarizer.summary


def labelled(labels):
    attr.ClassSummarizer([attr.Mean()]).update(X, labels)


def over(batches, function=lambda x: x.sum(1), **more):
    return attr.DataLoaderAttribution(attr.FeatureAblation(function)).attribute(batches, **more)


def boxed(low):
    return attr.LRP(mlp()).attribute(X, target=0, composite=lrp.Composite("box", (lrp.Assign(lrp.ZBox(low, 9.0)),)))


MANY = 10**10
STEPS = {"target": 0, "n_steps": MANY}

REFUSED = [
    # more than memory holds
    (lambda: attr.IntegratedGradients(mlp()).attribute(X, **STEPS), InvalidValueError, "n_steps is 10000000000"),
    (
        lambda: attr.IntegratedGradients(mlp()).attribute(X, target=0, n_steps=10**6),
        InvalidValueError,
        "Gauss-Legendre.*riemann_middle",
    ),
    (lambda: attr.NeuronConductance(mlp(), mlp()).attribute(X, 0, **STEPS), InvalidValueError, "n_steps is 1000"),
    (
        lambda: attr.GradientShap(mlp()).attribute(X, X, target=0, n_samples=MANY),
        InvalidValueError,
        "n_samples is 10000000000.*from 1 to 10000000",
    ),
    (
        lambda: attr.NoiseTunnel(attr.Saliency(mlp())).attribute(X, target=0, nt_samples=MANY),
        InvalidValueError,
        "nt_samples is 10000000000",
    ),
    (
        lambda: attr.FeaturePermutation(mlp()).attribute(X, target=0, n_repeats=MANY),
        InvalidValueError,
        "n_repeats is 10000000000",
    ),
    (
        lambda: metrics.sensitivity_max(attr.Saliency(mlp()).attribute, X, target=0, n_perturb_samples=MANY),
        InvalidValueError,
        "n_perturb_samples is 10000000000",
    ),
    # rules
    (lambda: lrp.Epsilon("much"), InvalidTypeError, "epsilon is a str"),
    (lambda: lrp.Epsilon(float("nan")), InvalidValueError, "epsilon is nan"),
    (lambda: lrp.EpsilonRule(X), InvalidTypeError, "epsilon is a Tensor"),
    (lambda: lrp.GammaRule(gamma=HUGE), InvalidValueError, "gamma.*1329 bits"),
    (lambda: lrp.GammaRule(set_bias_to_zero="no"), InvalidTypeError, "set_bias_to_zero.*True or False"),
    (lambda: lrp.AlphaBeta("two", 1), InvalidTypeError, "alpha is a str"),
    (lambda: lrp.ZBox(low=META), InvalidValueError, "low is a tensor on the meta device"),
    (lambda: lrp.ZBox(low=None), InvalidTypeError, "low is a NoneType"),
    (lambda: boxed(torch.zeros(7)), InvalidValueError, r"low is a tensor of shape \(7,\)"),
    (lambda: lrp.Assign(lrp.Epsilon(), operation=3), InvalidTypeError, "operation is a int"),
    (lambda: lrp.Assign(lrp.Epsilon(), module=3), InvalidTypeError, "module is a int"),
    (lambda: lrp.Assign(lrp.Epsilon(), first="yes"), InvalidTypeError, "first.*True or False"),
    (lambda: lrp.Composite("own", (3,)), InvalidTypeError, "lines.*Assign"),
    (lambda: lrp.Composite("own", softmax=[]), InvalidValueError, "softmax"),
    (lambda: rules.by_module(3, {}), InvalidTypeError, "model is a int"),
    (lambda: rules.by_module(mlp(), {"0": "gamma"}), InvalidTypeError, "rules is a dict with a str"),
    # statistics
    (lambda: attr.Mean(name=X), InvalidTypeError, "name is a Tensor"),
    (lambda: attr.Var(order="one"), InvalidTypeError, "order is a str"),
    (lambda: attr.StdDev(order=-1), InvalidValueError, "order is -1"),
    (lambda: attr.Max(max_fn=3), InvalidTypeError, "max_fn is a int"),
    (lambda: summary([attr.Sum(add_fn=lambda a, b: 1)], X, X), InvalidValueError, "function of a statistic.*ints"),
    (lambda: summary(3), InvalidTypeError, "stats is with a int"),
    (lambda: attr.SummarizerSingleTensor("mean"), InvalidTypeError, "stats is with a str"),
    (lambda: summary([attr.Mean()], 1j), InvalidTypeError, "x is of dtype torch.complex64"),
    (lambda: summary([attr.Mean()], META), InvalidValueError, "x is a tensor on the meta device"),
    (lambda: summary([attr.Mean()], ([X.clone().requires_grad_()],)), InvalidTypeError, "x is a list of tensors"),
    (lambda: summary([attr.Mean()], ()), InvalidValueError, "x is without rows"),
    (lambda: labelled(META), InvalidValueError, "labels is a tensor on the meta device"),
    (lambda: labelled([{}, 1]), InvalidTypeError, "labels is a dict"),
    # loaders
    (lambda: over([X], reduce="sum"), InvalidTypeError, "reduce is a str"),
    (lambda: over([X], to_metric=X), InvalidTypeError, "to_metric is a Tensor"),
    (lambda: over([X], input_roles=0), InvalidTypeError, "input_roles is a int"),
    (lambda: over([X], input_roles=([],)), InvalidValueError, "input_roles"),
    (lambda: over([X], perturbations_per_pass=HUGE), InvalidValueError, "perturbations_per_pass.*1329 bits"),
    (lambda: over(CHANGING), InvalidValueError, "dataloader is one with elements"),
    (lambda: over([(X, X[:1])], lambda a, b: a.sum(1)), InvalidValueError, "dataloader is with elements of"),
    (lambda: over([X.to(torch.cfloat)]), InvalidTypeError, "features are real"),
    (lambda: over([META]), InvalidValueError, "meta device"),
    (lambda: over([X], lambda x: HUGE), InvalidValueError, "forward_func.*1329 bits"),
    # readable inputs
    (lambda: attr.TextTokenInput("a b", 3), InvalidTypeError, "tokenizer is a int"),
    (lambda: attr.TextTokenInput("a b", Tokenizer(), skip_tokens=3), InvalidTypeError, "skip_tokens is a int"),
    (lambda: attr.TextTokenInput("a b", Tokenizer(), -(2**63) - 1), InvalidValueError, "baselines"),
    (lambda: attr.TextTemplateInput("{}", ["a"]).format_attr(3), InvalidValueError, "itp_attr is int"),
    (lambda: attr.ImageMaskInput(PICTURE).format_pixel_attr(3), InvalidValueError, "itp_attr is int"),
    (lambda: attr.ImageMaskInput(PICTURE, mask=META), InvalidValueError, "mask is a tensor on the meta device"),
    (lambda: attr.ImageMaskInput(PICTURE, baseline=("a", 1, 2)), InvalidValueError, "baseline"),
    (lambda: attr.TokenReferenceBase("pad"), InvalidTypeError, "reference_token_idx is a str"),
    (lambda: attr.TokenReferenceBase(HUGE), InvalidValueError, "reference_token_idx.*1329 bits"),
    (lambda: attr.TokenReferenceBase().generate_reference(3, 0.5), InvalidTypeError, "device is a float"),
    (lambda: attr.configure_interpretable_embedding_layer(mlp(), X), InvalidTypeError, "embedding_layer_name"),
    (lambda: attr.InterpretableEmbeddingBase(nn.Embedding(3, 2), 3), InvalidTypeError, "full_name is a int"),
    # games and surrogates
    (lambda: attr.quad_tree(-1, 3), InvalidValueError, "height is -1"),
    (lambda: attr.quad_tree(3, "3"), InvalidTypeError, "width is a str"),
    (lambda: attr.quad_tree(3, 3, X), InvalidTypeError, "depth is a Tensor"),
    (lambda: attr.get_exp_kernel_similarity_function({}), InvalidValueError, "distance_mode"),
    (lambda: attr.get_exp_kernel_similarity_function("cosine", 1e300), InvalidValueError, "kernel_width is 1e.300"),
    (lambda: Lasso(X), InvalidTypeError, "share is a Tensor"),
    (lambda: Lasso(1.0), InvalidValueError, "share is 1.0"),
    (lambda: LeastSquares("some"), InvalidTypeError, "ridge is a str"),
    # functions and names
    (lambda: pellucid.select_output(3, "a"), InvalidTypeError, "forward_func is a int"),
    (lambda: attr.FeatureAblation(lambda x: HUGE).attribute(X), InvalidValueError, "forward_func.*1329 bits"),
    (lambda: pellucid.rest_of(mlp(), "0", X, at_input=X), InvalidTypeError, "at_input.*True or False"),
    (lambda: pellucid.rest_of(mlp(), "0", X)("auto"), InvalidTypeError, "values is a str"),
    (lambda: pellucid.rest_of(mlp(), "0", X)(X[:, :3]), InvalidValueError, "values is tensors of shapes"),
    (lambda: pellucid.explain(mlp(), X, np.zeros(3)), InvalidTypeError, "method"),
    (lambda: pellucid.load(X), InvalidTypeError, "path is a Tensor"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words) as found:
        call()
    assert isinstance(found.value, PellucidError)


def test_labels_that_equal_nothing_are_classes_of_their_own():
    """NaN is not equal to itself: each is its own class, and no row is lost."""
    summarizer = attr.ClassSummarizer([attr.Count()])
    summarizer.update(X, [float("nan"), 1])
    assert [s["count"] for s in summarizer.class_summaries.values()] == [1, 1]


def test_outputs_without_rows_are_joined():
    """A function that returns one number per batch gives a metric for each."""
    found = over([X, 2 * X], lambda x: float((x**3).sum()))
    expected = torch.stack([(X**3).sum(0), ((2 * X) ** 3).sum(0)])
    assert torch.allclose(found.double(), expected)


def test_epsilon_is_not_rounded_to_single_precision():
    layer = nn.Linear(5, 1, bias=False).double()
    total = layer(X)
    found = attr.LRP(layer).attribute(X, target=0, composite=lrp.Composite("own", (lrp.Assign(lrp.Epsilon(0.1)),)))
    shrunk = total / (total + 0.1 * total.sign()) * total
    assert torch.allclose(found.sum(1, keepdim=True), shrunk, rtol=1e-13, atol=0)
