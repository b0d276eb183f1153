"""Statistics over samples: against torch on all samples at once, and by class."""

import pytest
import torch

from pellucid.attr import (
    MSE,
    ClassSummarizer,
    CommonStats,
    Count,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
    Summarizer,
    Var,
)
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.models import DOUBLE

EVERY = [Mean(), Var(), Var(order=1), StdDev(), StdDev(order=1), Min(), Max(), Sum(), MSE(), Count()]


def expected(samples):
    return {
        "mean": samples.mean(0),
        "variance": samples.var(0, correction=0),
        "sample_variance": samples.var(0),
        "std_dev": samples.std(0, correction=0),
        "sample_std_dev": samples.std(0),
        "min": samples.amin(0),
        "max": samples.amax(0),
        "sum": samples.sum(0),
        "mse": (samples - samples.mean(0)).square().mean(0),
        "count": len(samples),
    }


def same(found, wanted):
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        if isinstance(value, int):
            assert found[name] == value
        else:
            assert found[name].dtype == value.dtype
            assert torch.allclose(found[name], value, rtol=1e-12, atol=1e-12), name


@pytest.fixture
def samples(generator):
    """Far from zero, where a difference of large sums would lose all digits."""
    return torch.randn(7, 2, 3, dtype=DOUBLE, generator=generator) + 1e6


def test_one_at_a_time(samples):
    summarizer = Summarizer(EVERY)
    assert summarizer.summary is None
    for sample in samples:
        summarizer.update(sample)
    found = summarizer.summary
    assert torch.allclose(found["variance"], samples.var(0, correction=0), rtol=1e-8)
    same({**found, **{k: v for k, v in expected(samples).items() if "v" in k or k == "mse"}}, expected(samples))


def test_the_first_sample_is_not_lent(samples):
    """What a summary holds does not change with the tensors it was made from."""
    summarizer, sample = Summarizer([Min(), Sum(add_fn=torch.maximum)]), samples[0].clone()
    summarizer.update(sample)
    sample.zero_()
    assert torch.equal(summarizer.summary["min"], samples[0])
    assert torch.equal(summarizer.summary["sum"], samples[0])


def test_tuples_and_numbers(samples):
    summarizer = Summarizer(CommonStats())
    for sample in samples - 1e6:
        summarizer.update((sample, sample[0]))
    whole = samples - 1e6
    for found, part in zip(summarizer.summary, (whole, whole[:, 0]), strict=True):
        same(found, {k: expected(part)[k] for k in ("mean", "sample_variance", "sample_std_dev", "min", "max")})
    numbers = Summarizer([Mean(), Count()])
    for value in (1.0, 2, 6.0):
        numbers.update(value)
    assert numbers.summary == {"mean": torch.tensor(3.0), "count": 3}


def test_functions_of_ones_own(samples):
    summarizer = Summarizer(
        [Min("least", min_fn=lambda a, b: torch.where(a.abs() < b.abs(), a, b)), Max(), Max("most")]
    )
    for sample in samples - 1e6:
        summarizer.update(sample)
    whole = samples - 1e6
    least = whole.gather(0, whole.abs().argmin(0, keepdim=True))[0]
    assert torch.equal(summarizer.summary["least"], least)
    assert torch.equal(summarizer.summary["most"], summarizer.summary["max"])


def test_one_sample_has_no_sample_variance():
    summarizer = Summarizer([Var(order=1), Var(), StdDev(order=1)])
    summarizer.update(torch.ones(2))
    assert summarizer.summary["sample_variance"].isnan().all()
    assert summarizer.summary["sample_std_dev"].isnan().all()
    assert torch.equal(summarizer.summary["variance"], torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_kept_in_float64(dtype):
    summarizer = Summarizer([Mean()])
    for _ in range(3000):
        summarizer.update(torch.full((1,), 1.001, dtype=dtype))
    assert summarizer.summary["mean"].dtype == dtype
    assert torch.equal(summarizer.summary["mean"], torch.full((1,), 1.001, dtype=dtype))


@pytest.mark.parametrize("sample", [None, "a", {}, (torch.ones(2), None)])
def test_what_is_no_number_is_refused(sample):
    with pytest.raises(InvalidTypeError, match=r"x is a .*numbers"):
        Summarizer([Mean()]).update(sample)


LABELS = {
    "list": ["a", "b", "a", "a"],
    "ints": [3, 1, 3, 3],
    "tensor": torch.tensor([3, 1, 3, 3]),
    "tensors": [torch.tensor(3), torch.tensor([1]).reshape(()), torch.tensor(3), torch.tensor(3)],
    "tuple": (3, 1, 3, 3),
}


@pytest.mark.parametrize("kind", LABELS)
def test_classes_by_value(kind, generator):
    x = torch.randn(8, 5, dtype=DOUBLE, generator=generator)
    summarizer = ClassSummarizer([Mean(), Count(), StdDev()])
    summarizer.update(x[:4], LABELS[kind])
    summarizer.update(x[4:], LABELS[kind])
    first, second = summarizer.class_summaries.values()
    assert list(summarizer.class_summaries) == (["a", "b"] if kind == "list" else [3, 1])
    rows = torch.tensor([0, 2, 3, 4, 6, 7])
    same(first, {k: expected(x[rows])[k] for k in ("mean", "count", "std_dev")})
    same(second, {k: expected(x[[1, 5]])[k] for k in ("mean", "count", "std_dev")})
    same(summarizer.summary, {k: expected(x)[k] for k in ("mean", "count", "std_dev")})


def test_classes_of_single_samples_and_tuples(generator):
    x = torch.randn(4, 5, dtype=DOUBLE, generator=generator)
    summarizer = ClassSummarizer([Mean(), Count()])
    for label, sample in zip([1, torch.tensor(2), "z", 1], x, strict=True):
        summarizer.update((sample, sample[:1]), label)
    summarizer.update((x[0], x[0, :1]))
    assert list(summarizer.class_summaries) == [1, 2, "z"]
    assert summarizer.class_summaries[1][0]["count"] == 2
    assert torch.allclose(summarizer.class_summaries[1][1]["mean"], (x[0, :1] + x[3, :1]) / 2)
    assert summarizer.summary[0]["count"] == 5


def test_what_is_refused():
    with pytest.raises(InvalidTypeError, match="stats is with a str"):
        Summarizer(["mean"])
    with pytest.raises(InvalidValueError, match="each name once"):
        Summarizer([Mean(), Mean()])
    summarizer = ClassSummarizer([Mean()])
    with pytest.raises(InvalidValueError, match="one label per row"):
        summarizer.update(torch.ones(3, 2), [0, 1])
    summarizer.update(torch.ones(2))
    with pytest.raises(InvalidValueError, match="another structure"):
        summarizer.update((torch.ones(2), torch.ones(2)))


@pytest.mark.parametrize("other", [torch.ones(3), torch.ones(1), torch.ones(2, 2), torch.tensor(1.0)])
def test_a_sample_of_another_shape_is_refused_and_leaves_no_trace(other):
    """Also a shape that broadcasts, and one that only the second of a tuple has."""
    single, pair = Summarizer([Mean(), Max(), Count()]), ClassSummarizer([Mean(), Count()])
    single.update(torch.tensor([1.0, 2.0]))
    pair.update((torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])), "a")
    with pytest.raises(InvalidValueError, match=r"x is a tensor of shape .*a tensor of shape \(2,\)"):
        single.update(other)
    with pytest.raises(InvalidValueError, match=r"x is a tuple .*another structure"):
        pair.update((torch.ones(2), other), "a")
    assert (single.summary["count"], pair.summary[0]["count"], pair.summary[1]["count"]) == (1, 1, 1)
    assert torch.equal(single.summary["mean"], torch.tensor([1.0, 2.0]))
    assert torch.equal(pair.class_summaries["a"][0]["mean"], torch.tensor([1.0, 2.0]))


def test_as_captum_where_it_is_right(samples):
    captum = pytest.importorskip("captum.attr")
    names = ("Mean", "Var", "StdDev", "Min", "Max", "Sum", "Count")
    theirs = captum.Summarizer([getattr(captum, name)() for name in names])
    ours = Summarizer([Mean(), Var(), StdDev(), Min(), Max(), Sum(), Count()])
    for sample in samples - 1e6:
        theirs.update(sample)
        ours.update(sample)
    for name, value in theirs.summary.items():
        assert torch.allclose(torch.as_tensor(ours.summary[name], dtype=DOUBLE), torch.as_tensor(value).double())
