"""The one-line door: methods by name, ids, names, tokens, mappings, layers by name."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import pellucid
from pellucid.attr import FeatureAblation
from tests.fuzz.asking import answer, draw, fuzzed, odd_values, quiet, refused
from tests.fuzz.worlds import parts, worlds
from tests.models import DOUBLE, mlp

NAMES = [m.name for m in pellucid.methods() if not m.needs_layer]
QUICK = {
    "gradient_shap": {"baselines": torch.zeros(1, 5, dtype=DOUBLE), "n_samples": 2},
    "deep_lift_shap": {"baselines": torch.zeros(1, 5, dtype=DOUBLE)},
    "shapley_value_sampling": {"n_samples": 2},
    "kernel_shap": {"n_samples": 20},
    "lime": {"n_samples": 20},
    "owen_values": {"hierarchy": (0, 1, 2, 3, 4)},
    **{name: {"nt_samples": 2} for name in ("smoothgrad", "smoothgrad_squared", "vargrad")},
}
KEYWORDS = (
    "target",
    "additional_forward_args",
    "output",
    "tokenizer",
    "layer",
    "neuron",
    "names",
    "tokens",
    "baselines",
    "n_steps",
    "quadrature",
    "method",
    "inputs",
    "seed",
    "feature_mask",
)
MODEL = mlp(activation=nn.Softplus)


def explained(name, **changed):
    arguments = {"inputs": draw((2, 5), 1), "target": 0, **QUICK.get(name, {}), "method": name, **changed}
    return answer(lambda: pellucid.explain(lambda v, *_, **__: MODEL(v), **arguments))


@pytest.mark.parametrize("method", NAMES)
def test_every_method_by_name(method):
    found = explained(method)
    assert refused(found) == (method in {"guided_backprop", "deconvolution"}) or found.attributions.shape == (2, 5)


@given(method=st.sampled_from(NAMES), keyword=st.sampled_from(KEYWORDS), value=odd_values())
@fuzzed(300)
def test_odd_arguments(method, keyword, value):
    empty = isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) > 0 and not value.numel()
    if keyword == "inputs" and (empty or not refused(answer(lambda: FeatureAblation(lambda *v: 1.0).attribute(value)))):
        return  # well-formed inputs that this model does not take
    found = explained(method, **{keyword: value})
    if not refused(found):
        assert isinstance(found, pellucid.Explanation)
        assert repr(found)


@given(world=worlds(), method=st.sampled_from(["saliency", "integrated_gradients", "deep_lift", "feature_ablation"]))
@fuzzed(60)
def test_the_door_changes_nothing(world, method):
    """The explanation holds what the class itself computes, and the outputs of the model."""
    arguments = {"target": world.target, "additional_forward_args": world.args}
    found = quiet(lambda: pellucid.explain(world.model, world.given, method, **arguments))
    info = next(m for m in pellucid.methods() if m.name == method)
    if world.target is None and world.output == "column" and method == "feature_ablation":
        return
    plain = quiet(lambda: info.build(world.model).attribute(world.given, **arguments))
    for a, b in zip(parts(found.attributions), parts(plain), strict=True):
        assert torch.equal(a, b)
    args = () if world.args is None else world.args if isinstance(world.args, tuple) else (world.args,)
    assert torch.allclose(found.outputs, world.plain(world.inputs, args))


class Words(nn.Module):
    """Scores ids through their embeddings, beside floating-point values."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 3, padding_idx=0).double()
        with torch.no_grad():
            self.table.weight.copy_(torch.sin(torch.arange(21.0, dtype=DOUBLE)).reshape(7, 3))

    def forward(self, ids, scale=None, extra=None):
        z = torch.tanh(self.table(ids).reshape(len(ids), -1).sum(1, keepdim=True))
        z = z * torch.arange(1.0, 4.0, dtype=DOUBLE)
        return z if scale is None else z * scale.reshape(len(ids), -1).mean(1, keepdim=True)


@st.composite
def words(draw_):
    rows, length = draw_(st.integers(1, 3)), draw_(st.integers(1, 4))
    ids = torch.tensor(
        draw_(st.lists(st.lists(st.integers(0, 6), min_size=length, max_size=length), min_size=rows, max_size=rows))
    )
    scale = draw((rows, 2), 3) + 2 if draw_(st.booleans()) else None
    form = (
        draw_(st.sampled_from(["tensor", "mapping"])) if scale is None else draw_(st.sampled_from(["tuple", "mapping"]))
    )
    given_ = {
        "tensor": ids,
        "tuple": (ids, scale),
        "mapping": {"ids": ids} if scale is None else {"ids": ids, "scale": scale},
    }[form]
    return ids, scale, given_


@given(asked=words(), target=st.integers(0, 2), base=st.sampled_from([None, 0, 3, "zero"]))
@fuzzed(60)
def test_ids_are_complete(asked, target, base):
    ids, scale, inputs = asked
    model = Words()
    baselines = {}
    if base is not None:
        own = base if scale is None else (base, 0.0)
        baselines = {"baselines": {"ids": base} if isinstance(inputs, dict) else own}
    found = quiet(lambda: pellucid.explain(model, inputs, target=target, n_steps=60, **baselines))
    values = (
        list(found.attributions.values()) if isinstance(found.attributions, dict) else list(parts(found.attributions))
    )
    assert values[0].shape == ids.shape
    if scale is not None:
        assert values[1].shape == scale.shape
    change = found.outputs[:, target]
    if base == 3 and scale is None:
        change = change - model(torch.full_like(ids, 3))[:, target].detach()
    for n in range(len(ids)):
        total = sum(float(v[n].sum()) for v in values)
        if not (base in {0, 3} and scale is not None) and base != 0:
            assert abs(total - float(change[n])) < 1e-3 * (1 + abs(float(change[n])))


@given(value=odd_values(), form=st.sampled_from(["alone", "mapping", "beside", "baselines", "tokens"]))
@fuzzed(150)
def test_odd_ids(value, form):
    def model(ids, scale=None):
        return Words()(ids.reshape(len(ids), -1).long() % 7) if isinstance(ids, torch.Tensor) else None

    ids = torch.tensor([[1, 2], [3, 4]])
    call = {
        "alone": lambda: pellucid.explain(Words(), ids, target=value),
        "mapping": lambda: pellucid.explain(Words(), {"ids": value}, target=0),
        "beside": lambda: pellucid.explain(Words(), {"ids": ids}, target=0, additional_forward_args=value),
        "baselines": lambda: pellucid.explain(Words(), ids, target=0, baselines=value),
        "tokens": lambda: pellucid.explain(Words(), ids, target=0, tokens=value),
    }[form]
    if (form == "mapping" and isinstance(value, torch.Tensor)) or (form == "beside" and isinstance(value, dict)):
        return  # what the model itself does with other ids
    found = answer(call)
    assert refused(found) or isinstance(found, pellucid.Explanation)
