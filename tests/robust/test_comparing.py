"""MinParamPerturbation and AttackComparator: searches, statistics and batches."""

import math
import warnings
from typing import NamedTuple

import pytest
import torch
from torch import nn

from pellucid import recording
from pellucid.errors import ExpansionWarning, InvalidTypeError, InvalidValueError
from pellucid.robust import FGSM, PGD, AttackComparator, MinParamPerturbation
from pellucid.robust._trials import Trials
from tests.models import DOUBLE, mlp


def lowered(x, by):
    return x - by


class Table(nn.Module):
    """Class 0 as long as the sum is positive."""

    def forward(self, x, *scale):
        score = x.sum(1) * (scale[0] if scale else 1)
        return torch.stack([score, -score], 1)


def searched(**settings):
    return MinParamPerturbation(Table(), lowered, "by", **{"arg_min": 0.0, "arg_max": 5.0, "arg_step": 0.5, **settings})


X = torch.tensor([[1.0, 1.0], [3.0, 2.0], [50.0, 50.0]])
MODES = pytest.mark.parametrize("mode", ["linear", "binary", "LINEAR", "Binary"])


@MODES
@pytest.mark.parametrize("together", [1, 3, 100])
def test_the_smallest_value_that_turns_a_prediction(mode, together):
    found, value = searched(mode=mode).evaluate(X[:1], target=0, perturbations_per_eval=together)
    assert value == 1.5  # at 1.0 there is a tie, which class 0 wins
    assert torch.equal(found, X[:1] - 1.5)
    assert searched(mode=mode).evaluate(X[2:], target=0) == (None, None)
    assert searched(mode=mode, arg_max=1.5).evaluate(X[:1], target=0) == (None, None)  # arg_max is left out


@MODES
def test_batches_as_one_and_example_by_example(mode):
    search = searched(mode=mode)
    found, value = search.evaluate(X, target=[0, 0, 0])
    assert value == 1.5  # the first of them turns
    assert torch.equal(found, X - 1.5)
    found, values = search.evaluate(X, target=[0, 0, 0], per_example=True)
    assert values[:2].tolist() == [1.5, 3.0]
    assert math.isnan(values[2])
    assert torch.equal(found, torch.cat([X[:1] - 1.5, X[1:2] - 3.0, X[2:]]))
    if mode.lower() == "binary":  # what follows does not stay turned
        return
    scale = torch.tensor([-1.0, 1.0, 1.0])
    _, values = search.evaluate(X, scale, torch.tensor([0, 0, 0]), 4, per_example=True)
    assert values[:2].tolist() == [0.0, 3.0]


def test_binary_search_evaluates_logarithmically_often():
    search = MinParamPerturbation(Table(), lowered, "by", 0, 1000, 1, mode="binary")
    with recording() as report:
        _, value = search.evaluate(X[:1] * 500, target=0)
    assert value == 501
    assert report.calls <= 11


def test_both_modes_agree_with_captum_on_the_values():
    theirs = pytest.importorskip("captum.robust").MinParamPerturbation
    model = mlp()
    x = torch.randn(1, 5, dtype=DOUBLE)
    y = int(model(x).argmax(1))
    settings = (FGSM(model), "epsilon", 0.0, 3.0, 0.125)
    for mode in ("linear", "binary"):
        ours = MinParamPerturbation(model, *settings, mode).evaluate(x, target=y, attack_kwargs={"target": y})
        other = theirs(model, *settings, mode).evaluate(x, target=y, attack_kwargs={"target": y})
        assert ours[1] == other[1]
        assert torch.equal(ours[0], other[0])


def test_attempts_preprocessing_and_ones_own_correctness():
    tries = []

    def lucky(text, by):
        tries.append(by)
        return text + "!" * by if len(tries) % 3 == 0 else text

    length = lambda text: torch.tensor([[float(len(text))]])  # noqa: E731
    short = lambda output, limit: bool(output.item() < limit)  # noqa: E731
    search = MinParamPerturbation(lambda n: n, lucky, "by", 1, 9, 1, "linear", 3, length, True, short)
    assert search.evaluate("abc", correct_fn_kwargs={"limit": 7}) == ("abc!!!!", 4)
    assert tries == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    after = MinParamPerturbation(lambda n: n, lowered, "by", -9, 0, 1, preproc_fn=length, correct_fn=short)
    assert after.evaluate("abc", correct_fn_kwargs={"limit": 7})[1] == -9
    own = lambda output, target: output[:, 0] > target  # noqa: E731
    _, values = searched(correct_fn=own).evaluate(X[:2], target=torch.tensor([1.0, 4.0]), per_example=True)
    assert values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"mode": "golden"}, InvalidValueError, "mode.*linear or binary"),
        ({"arg_step": 0}, InvalidValueError, "arg_step"),
        ({"arg_max": -1.0}, InvalidValueError, "arg_max"),
        ({"arg_min": "a"}, InvalidTypeError, "arg_min"),
        ({"arg_min": math.inf}, InvalidValueError, "arg_min"),
        ({"num_attempts": 0}, InvalidValueError, "num_attempts"),
        ({"preproc_fn": 3}, InvalidTypeError, "preproc_fn"),
        ({"mode": {}}, InvalidValueError, "mode"),
        ({"arg_max": 10**400}, InvalidValueError, "1329 bits"),
        ({"apply_before_preproc": X}, InvalidTypeError, "True or False"),
    ],
)
def test_searches_that_are_refused(settings, error, words):
    with pytest.raises(error, match=words):
        searched(**settings)


def test_questions_that_are_refused():
    with pytest.raises(InvalidValueError, match=r"target is None.*correct_fn"):
        searched().evaluate(X)
    with pytest.raises(InvalidValueError, match="correct_fn_kwargs"):
        searched().evaluate(X, target=0, correct_fn_kwargs={"limit": 1})
    with pytest.raises(InvalidValueError, match="target is 5"):
        searched().evaluate(X, target=5)
    with pytest.raises(InvalidValueError, match="correct_fn is a tensor on the meta device"):
        searched(correct_fn=lambda _: torch.ones((), device="meta")).evaluate(X)
    with pytest.raises(InvalidTypeError, match=r"correct_fn.*each example"):
        searched(correct_fn=lambda o, target: True).evaluate(X, target=0, per_example=True)
    with pytest.raises(InvalidTypeError, match=r"inputs.*per_example"):
        MinParamPerturbation(len, lambda t, by: t, "by", 0, 2, 1, correct_fn=bool).evaluate("abc", per_example=True)
    with pytest.raises(InvalidTypeError, match=r"perturbations_per_eval.*str"):
        MinParamPerturbation(len, lambda t, by: t, "by", 0, 2, 1, correct_fn=bool).evaluate("abc", None, None, 2)
    with pytest.raises(InvalidValueError, match="correct_fn is None with an output of shape"):
        MinParamPerturbation(lambda v: v.sum(1), lowered, "by", 0, 2, 1).evaluate(X, target=0)


# -- the comparator


def accuracy(output, target, **_):
    return (output.argmax(1) == target).float()


class Both(NamedTuple):
    right: torch.Tensor
    loss: float


def both(output, target):
    return Both(accuracy(output, target), float(nn.functional.cross_entropy(output, target)))


def noisy(x, scale=1.0):
    return x + scale * torch.randn_like(x)


def compared(model, metric=accuracy, attempts=3, cls=AttackComparator):
    made = cls(model, metric, preproc_fn=lambda x: x * 2)
    made.add_attack(FGSM(model), "FGSM", 1, False, {"epsilon": 0.5}, ["target"])
    made.add_attack(noisy, "noise", num_attempts=attempts, attack_kwargs={"scale": 0.5})
    made.add_attack(nn.Identity())
    return made


def equal(ours, theirs):
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, tuple):
        fields = getattr(ours, "_fields", None) == getattr(theirs, "_fields", None)
        return fields and all(equal(a, b) for a, b in zip(ours, theirs, strict=True))
    return torch.allclose(torch.as_tensor(ours).double(), torch.as_tensor(theirs).double(), atol=1e-6)


@pytest.mark.parametrize("metric", [accuracy, both])
@pytest.mark.parametrize("together", [1, 3, 10])
def test_results_and_summaries_are_captums_on_batches_of_one_size(metric, together):
    captum = pytest.importorskip("captum.robust")
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    mine, theirs = compared(model, metric), compared(model, metric, cls=captum.AttackComparator)
    for seed in range(2):
        x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
        torch.manual_seed(seed)
        ours = mine.evaluate(x, perturbations_per_eval=together, target=y)
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert equal(ours, theirs.evaluate(x, perturbations_per_eval=together, target=y))
    assert equal(mine.summary(), theirs.summary())
    assert set(mine.summary()) == set(theirs.summary())
    mine.reset()
    assert mine.summary() == {}
    assert list(mine.attacks) == ["FGSM", "noise", "Identity"]


def test_a_summary_does_not_depend_on_how_batches_were_cut():
    model = mlp(4)
    made = AttackComparator(model, accuracy)
    made.add_attack(PGD(model), "PGD", attack_kwargs={"radius": 0.3, "step_size": 0.1, "step_num": 4},
                    additional_attack_arg_names=["target"])  # fmt: skip
    x, y = torch.randn(9, 4, dtype=DOUBLE), torch.arange(9) % 3
    made.evaluate(x, target=y)
    whole = made.summary()
    made.reset()
    for part in (slice(0, 7), slice(7, 9)):
        made.evaluate(x[part], target=y[part])
    assert equal(made.summary(), whole)
    assert whole["Original"]["mean"].item() == pytest.approx(accuracy(model(x), y).mean().item())


def test_statistics_over_attempts_are_taken_example_by_example():
    made = AttackComparator(Table(), accuracy)
    values = iter([0.0, 2.0, 6.0, 0.0])
    made.add_attack(lambda x: x - next(values), "by turns", num_attempts=4)
    found = made.evaluate(X, target=torch.zeros(3, dtype=torch.long))["by turns"]
    assert found["mean"].tolist() == [0.5, 0.75, 1.0]
    assert found["min"].tolist() == [0.0, 0.0, 1.0]
    assert found["max"].tolist() == [1.0, 1.0, 1.0]
    assert made.summary()["by turns Min Attempt"]["mean"].item() == pytest.approx(1 / 3)


def test_arguments_follow_their_rows_and_mixing_is_seen():
    scale = torch.tensor([1.0, -1.0, 1.0])
    made = AttackComparator(Table(), accuracy)
    made.add_attack(lambda x: x + 1, "more")
    expected = made.evaluate(X, scale, 1, target=torch.zeros(3, dtype=torch.long))
    assert equal(made.evaluate(X, scale, 2, target=torch.zeros(3, dtype=torch.long)), expected)
    assert expected["Original"].tolist() == [1.0, 0.0, 1.0]
    mixing = AttackComparator(lambda x: Table()(x - x.mean(0)), accuracy)
    mixing.add_attack(lambda x: x * 3 + 1, "more")
    expected = mixing.evaluate(X, target=0)
    with pytest.warns(ExpansionWarning, match="pass of its own"):
        assert equal(mixing.evaluate(X, perturbations_per_eval=2, target=0), expected)


def test_a_larger_pass_than_all_before_is_compared_too():
    trials = Trials(lambda x: x.sum(1) * (1 + (len(x) > 4)), None, 4)
    pair, four = [X, X + 1], [X, X + 1, X + 2, X + 3]
    assert equal_lists(trials.outputs([v[:1] for v in pair]), [v[:1].sum(1) for v in pair])
    with pytest.warns(ExpansionWarning, match="pass of its own"):
        assert equal_lists(trials.outputs(four), [v.sum(1) for v in four])


def test_a_model_for_small_batches_only_is_searched_one_version_at_a_time():
    def small(x):
        assert len(x) <= 4, "the batch is too large"
        return Table()(x)

    plan = {"arg_min": 0.0, "arg_max": 5.0, "arg_step": 0.5}
    expected = searched().evaluate(X, target=0, perturbations_per_eval=4)
    with pytest.warns(ExpansionWarning, match="pass of its own"):
        found = MinParamPerturbation(small, lowered, "by", **plan).evaluate(X, target=0, perturbations_per_eval=4)
    assert equal(found[0], expected[0])
    assert found[1] == expected[1]


def equal_lists(found, expected):
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


def test_tuples_are_spread_over_the_model():
    made = AttackComparator(lambda a, b: a @ b.transpose(0, 1), lambda out: out.sum())
    made.add_attack(lambda pair: (pair[0] * 2, pair[1]), "twice")
    found = made.evaluate((torch.ones(2, 3), torch.ones(2, 3)))
    assert (found["Original"].item(), found["twice"]["mean"].item()) == (12.0, 24.0)


def test_comparisons_that_are_refused():
    made = AttackComparator(Table(), accuracy)
    made.add_attack(noisy)
    for name in ("noisy", "Original"):
        with pytest.raises(InvalidValueError, match=f"name is '{name}'"):
            made.add_attack(noisy, name)
    with pytest.raises(InvalidTypeError, match="attack is a int"):
        made.add_attack(3)
    with pytest.raises(InvalidTypeError, match="metric is a str"):
        AttackComparator(Table(), "accuracy")
    made.add_attack(FGSM(Table()), additional_attack_arg_names=["target"])
    calls = []
    made.forward_func = calls.append
    with pytest.raises(InvalidValueError, match="'target' for FGSM"):
        made.evaluate(X)
    assert not calls
