"""Attributions over a data loader: against a plain loop over features, and the loaders that are refused."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.attr import DataLoaderAttribution, FeatureAblation, IntegratedGradients, ShapleyValues
from pellucid.attr import InputRole as Role
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.models import DOUBLE, mlp
from tests.reference.games import shapley_values


@pytest.fixture
def data(generator):
    return (
        torch.randn(10, 5, dtype=DOUBLE, generator=generator),
        torch.randint(3, (10,), generator=generator),
    )


def right_share(state, output, batch):
    """Sums of the log-probabilities of the labels, and the number of rows."""
    found = output.log_softmax(1).gather(1, batch[1][:, None]).sum()
    total, rows = (0.0, 0) if state is None else state
    return total + found, rows + len(batch[1])


def mean_of(state):
    return state[0] / state[1]


def metric(x, labels):
    return mlp()(x).log_softmax(1).gather(1, labels[:, None]).mean()


@pytest.mark.parametrize("per_pass", [None, 1, 2, 6])
@pytest.mark.parametrize("batch_size", [3, 10])
def test_a_metric_of_the_data_set(data, per_pass, batch_size):
    loader, base = DataLoader(TensorDataset(*data), batch_size), torch.linspace(-1, 1, 5, dtype=DOUBLE)[None]
    found = DataLoaderAttribution(FeatureAblation(mlp())).attribute(
        loader, (Role.need_attr, Role.no_forward), base, None, right_share, mean_of, per_pass
    )
    x, labels = data
    without = [torch.where(torch.arange(5) == i, base, x) for i in range(5)]
    expected = torch.stack([metric(x, labels) - metric(v, labels) for v in without])
    assert isinstance(found, tuple)
    assert torch.allclose(found[0], expected[None], atol=1e-13)


def test_without_a_metric_each_output_of_each_example(data):
    x, _ = data
    found = DataLoaderAttribution(FeatureAblation(mlp())).attribute(DataLoader(x, 4), perturbations_per_pass=2)
    assert torch.allclose(found, FeatureAblation(mlp()).attribute(x), atol=1e-14)


def test_shapley_values_of_a_metric(data):
    x, labels = data
    mask = torch.tensor([0, 3, 3, 1, 0])
    found = DataLoaderAttribution(ShapleyValues(mlp())).attribute(
        DataLoader(TensorDataset(*data), 4), (0, 2), None, mask, right_share, mean_of, return_input_shape=False
    )
    ids = torch.tensor([0, 1, 3])

    def value(members):
        return metric(torch.where(torch.isin(mask, ids[list(members)]), x, 0.0), labels)

    assert torch.allclose(found, shapley_values(value, 3)[None], atol=1e-13)


def total(state, output, batch):
    return output.sum() if state is None else state + output.sum()


def scaled(x, factor, offset=0.0):
    return (x.square() * factor).sum(1) + offset


FORMS = {
    "tuples": ((0, 1, 2), lambda x, f, y: (x, f, y)),
    "lists": ([Role.need_attr, 1, 2], lambda x, f, y: [x, f, y]),
    "dicts": ({"x": 0, "factor": 1, "label": 2}, lambda x, f, y: {"label": y, "x": x, "factor": f}),
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_any_structure(form, data):
    roles, make = FORMS[form]
    x, labels = data
    factor = torch.rand(10, 1, dtype=DOUBLE)
    batches = [make(x[i : i + 4], factor[i : i + 4], labels[i : i + 4]) for i in (0, 4, 8)]
    found = DataLoaderAttribution(FeatureAblation(scaled)).attribute(batches, roles, reduce=total)
    value = found["x"] if form == "dicts" else found[0]
    assert isinstance(found, dict if form == "dicts" else tuple)
    assert len(found) == 1
    assert torch.allclose(value, (x.square() * factor).sum(0)[None], atol=1e-12)


def test_several_explained_elements_and_masks(data):
    x, _ = data
    batches = [(x[:6], x[:6, :2]), (x[6:], x[6:, :2])]
    mask = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([2, 7])
    a, b = DataLoaderAttribution(FeatureAblation(scaled)).attribute(
        [(v, w.sum(1, keepdim=True)) for v, w in batches], (0, 0), (0.0, 1.0), (mask[0], mask[1][:1]), reduce=total
    )
    factor = torch.cat([w for _, w in batches]).sum(1, keepdim=True)
    whole = (x.square() * factor).sum()
    group = (x.square() * factor).sum(0)
    assert torch.allclose(a[0, :4], torch.stack([group[:2].sum()] * 2 + [group[2:4].sum()] * 2))
    last = whole - x[:, :4].square().sum()
    assert torch.allclose(torch.stack([a[0, 4], b[0, 0]]), torch.stack([last, last]))


def test_numbers_as_metrics(data):
    found = DataLoaderAttribution(FeatureAblation(mlp())).attribute(
        DataLoader(data[0], 4), reduce=total, to_metric=float
    )
    each = FeatureAblation(lambda v: mlp()(v).sum(1)).attribute(data[0])
    assert torch.allclose(found[0], each.sum(0), atol=1e-12)


@pytest.mark.parametrize("form", ["shuffled", "noisy", "shorter", "longer"])
def test_loaders_that_change_are_refused(form, data):
    x, passes = data[0], []

    class Changing:
        def __iter__(self):
            passes.append(1)
            if form == "longer" and len(passes) > 2:
                yield x[:4]
            if form == "noisy":
                yield x + 1e-9 * len(passes)
            else:
                yield x
            if form == "shorter" and len(passes) < 3:
                yield x

    loader = DataLoader(x, 4, shuffle=True) if form == "shuffled" else Changing()
    method = DataLoaderAttribution(FeatureAblation(mlp()))
    with pytest.raises(InvalidValueError, match=r"unrelated rows.*shuffle=False"):
        method.attribute(loader, reduce=total, perturbations_per_pass=2)


def test_a_single_pass_may_be_shuffled(data):
    shuffled = DataLoader(data[0], 4, shuffle=True)
    found = DataLoaderAttribution(FeatureAblation(mlp())).attribute(shuffled, reduce=total)
    plain = DataLoaderAttribution(FeatureAblation(mlp())).attribute(DataLoader(data[0], 4), reduce=total)
    assert torch.allclose(found, plain, atol=1e-12)


def test_nothing_is_left_behind_and_cost_is_reported(data):
    x, kept = data[0], data[0].clone()
    state = torch.get_rng_state()
    with pellucid.recording() as report:
        DataLoaderAttribution(FeatureAblation(lambda v: v.mul_(2).sum(1))).attribute(DataLoader(x, 4), reduce=total)
    assert torch.equal(x, kept)
    assert torch.equal(state, torch.get_rng_state())
    assert report.rows == 10 * 6


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dataloader": iter([torch.ones(2, 3)])}, InvalidTypeError, "each pass"),
        ({"dataloader": torch.ones(2, 3)}, InvalidTypeError, "Tensor"),
        ({"dataloader": []}, InvalidValueError, "empty"),
        ({"dataloader": ["text"]}, InvalidTypeError, "batches of type str"),
        ({"dataloader": [torch.ones(2, 3), torch.ones(2, 4)]}, InvalidValueError, "same features"),
        ({"input_roles": (0, 1)}, InvalidValueError, "one InputRole for each"),
        ({"input_roles": (5,)}, InvalidValueError, "no such role"),
        ({"input_roles": (1,)}, InvalidValueError, "at least one"),
        ({"dataloader": [(torch.ones(2, 3), 7)]}, InvalidValueError, "tensors with rows"),
        ({"baselines": torch.zeros(2, 3)}, InvalidValueError, "one row for all"),
        ({"feature_mask": torch.arange(6).reshape(2, 3)}, InvalidValueError, "feature_mask.*one row for all"),
        ({"perturbations_per_pass": 0}, InvalidValueError, "perturbations_per_pass"),
    ],
)
def test_bad_arguments(arguments, error, words):
    given = {"dataloader": [torch.ones(2, 3)], **arguments}
    with pytest.raises(error, match=words):
        DataLoaderAttribution(FeatureAblation(lambda v: v.sum(1))).attribute(**given)


def test_other_methods_are_refused():
    with pytest.raises(InvalidTypeError, match="attr_method is a IntegratedGradients"):
        DataLoaderAttribution(IntegratedGradients(mlp()))
    with pytest.raises(InvalidValueError, match="21 features"):
        DataLoaderAttribution(ShapleyValues(lambda v: v.sum(1))).attribute([torch.ones(1, 21)])


def test_as_captum(data):
    captum = pytest.importorskip("captum.attr")
    batches = [[data[0][i : i + 4], data[1][i : i + 4]] for i in (0, 4, 8)]
    given = {"input_roles": (0, 2), "reduce": right_share, "to_metric": lambda s: mean_of(s).reshape(1)}
    theirs = captum.DataLoaderAttribution(captum.FeatureAblation(mlp())).attribute(batches, **given)
    ours = DataLoaderAttribution(FeatureAblation(mlp())).attribute(batches, **given)
    assert torch.allclose(ours[0], theirs[0], atol=1e-12)
