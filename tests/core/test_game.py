"""The game: what a coalition is worth, for every form of mask, input and output."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid
from pellucid._core.batching import CPU_BUDGET
from pellucid._core.door import accept_baselines, accept_question
from pellucid._core.forward import LARGEST_SHARE, ForwardEvaluator
from pellucid._core.game import distinct, playing
from pellucid._core.masks import accept_features
from pellucid._core.progress import progress
from pellucid.attr import FeatureAblation
from pellucid.errors import ExpansionWarning, InvalidTypeError, InvalidValueError
from tests.models import DOUBLE, GraphNet, TwoInputs, cnn, mlp
from tests.reference.games import coalition_value


def values_of(model, x, coalitions=None, *, mask=None, base=None, target=None, cap=None, more=None, share=True):
    """Values of coalitions, all of them in their binary order by default, and their attributions."""
    question = accept_question(model, x, target, more, any_values=True)
    baselines = accept_baselines(base, question.inputs, x, any_values=True)
    features = accept_features(mask, question.inputs, x, share)
    with progress(False, "", None) as bar, playing(question, baselines, features, cap, bar) as game:
        if coalitions is None:
            coalitions = (torch.arange(2**game.players)[:, None] >> torch.arange(game.players)) % 2 == 1
        return game.values(coalitions), coalitions, game


@pytest.fixture
def x(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


@pytest.mark.parametrize("cap", [None, 1, 2, 7])
@pytest.mark.parametrize("target", [1, [0, 2, 1], None])
def test_values_are_the_models_at_mixed_inputs(x, cap, target):
    model, base = mlp(), torch.linspace(-1, 2, 5, dtype=DOUBLE)[None]
    found, coalitions, _ = values_of(model, x, base=base, target=target, cap=cap)
    expected = torch.stack([coalition_value(model, x, base, c) for c in coalitions])
    if target is not None:
        expected = expected[:, torch.arange(3), torch.tensor(target).expand(3)]
    assert found.dtype == DOUBLE
    assert torch.allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("shape", [(1, 4, 6), (2, 1, 1), (4, 1), (6,), (1,), (3, 2, 4, 6), (1, 2, 4, 6), (3, 1, 1, 6)])
def test_masks_of_any_shape_that_broadcasts(shape, generator):
    x = torch.randn(3, 2, 4, 6, dtype=DOUBLE, generator=generator)
    base = torch.randn(3, 2, 4, 6, dtype=DOUBLE, generator=generator)
    mask = torch.randint(5, shape, generator=generator) * 7 - 3
    model = torch.nn.Sequential(torch.nn.Flatten(), mlp(48))
    found, coalitions, game = values_of(model, x, mask=mask, base=base, target=0)
    ids = mask.unique()
    assert game.players == len(ids)
    full = mask.expand_as(x).contiguous()
    for value, members in zip(found, coalitions, strict=True):
        kept = torch.isin(full, ids[members])
        assert torch.allclose(value, coalition_value(model, x, base, kept)[:, 0], atol=1e-13)
    per_player = torch.randn(game.players, 3, dtype=DOUBLE, generator=generator)
    spread = game.attributions(per_player)
    rows = torch.arange(3).reshape(3, 1, 1, 1).expand_as(x)
    assert torch.equal(spread, per_player[torch.searchsorted(ids, full), rows])


def test_index_and_mask_give_the_same(generator):
    """Coalitions that lack little are made by index, others by a mask over all values."""
    x = torch.randn(3, 4, 5, 6, dtype=DOUBLE, generator=generator)
    base = torch.randn(3, 4, 5, 6, dtype=DOUBLE, generator=generator)
    model = torch.nn.Sequential(torch.nn.Flatten(), mlp(120))
    for mask in (None, torch.randint(20, (1, 4, 1, 6), generator=generator), torch.arange(120).reshape(4, 5, 6)):
        players = 120 if mask is None else len(mask.unique())
        dense = torch.rand(9, players, generator=generator) < 0.5
        sparse = torch.rand(9, players, generator=generator) < 0.95
        ids = torch.arange(120).reshape(4, 5, 6) if mask is None else mask
        for coalitions in (dense, sparse):
            found, _, _ = values_of(model, x, coalitions, mask=mask, base=base, target=2)
            kept = [torch.isin(ids.expand(1, 4, 5, 6), ids.unique()[c]) for c in coalitions]
            expected = torch.stack([coalition_value(model, x, base, k)[:, 2] for k in kept])
            assert torch.allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("share", [True, False])
def test_ids_shared_by_tensors_mean_one_feature_or_two(share, generator):
    a, b = torch.randn(3, 4, dtype=DOUBLE, generator=generator), torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    masks = torch.tensor([0, 0, 5, 9]), torch.tensor([[5, 5], [0, 2]])
    found, coalitions, game = values_of(
        TwoInputs(), (a, b), mask=masks, base=(0.3, b[:1]), target=1, more=torch.rand(3).double(), share=share
    )
    ids = [0, 2, 5, 9] if share else [0, 5, 9, 100, 102, 105]
    assert game.players == len(ids)
    masks = masks if share else (masks[0], masks[1] + 100)
    scale = game.question.site.arguments.values[0]
    for value, members in zip(found, coalitions, strict=True):
        kept = [torch.isin(m, torch.tensor(ids)[members]) for m in masks]
        mixed = torch.where(kept[0], a, 0.3), torch.where(kept[1], b, b[:1])
        assert torch.allclose(value, TwoInputs()(*mixed, scale)[:, 1], atol=1e-14)


def test_a_mask_with_as_many_entries_as_examples_is_aligned_with_the_last_dimension(generator):
    x = torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    _, _, game = values_of(lambda v: v.sum(1), x, mask=torch.tensor([0, 0, 1]))
    assert torch.equal(game.attributions(torch.tensor([[1.0], [2.0]]).expand(2, 3)), torch.tensor([[1, 1, 2.0]] * 3))


def test_a_small_mask_and_a_chunk_of_as_many_perturbations_as_examples(generator):
    """Perturbations, examples, channels and features are equally many: nothing but the last dimension may be meant."""
    x = torch.randn(2, 2, 2, 2, dtype=DOUBLE, generator=generator)
    mask, weights = torch.tensor([0, 1]), torch.arange(1.0, 17, dtype=DOUBLE).reshape(2, 2, 2, 2)

    def model(v):
        return torch.sin(v * weights[0]).flatten(1).sum(1)

    expected = FeatureAblation(model).attribute(x, 0.3, feature_mask=mask.expand(1, 2, 2, 2))
    lost = [model(x) - model(torch.where(mask == i, 0.3, x)) for i in range(2)]
    assert torch.allclose(expected, torch.stack(lost, 1)[:, None, None].expand(2, 2, 2, 2), atol=1e-14)
    for cap in (1, 2, 4):
        found = FeatureAblation(model).attribute(x, 0.3, feature_mask=mask, perturbations_per_eval=cap)
        assert torch.allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (torch.zeros(3, dtype=torch.long), InvalidValueError, "does not broadcast"),
        (torch.zeros(2, 5, dtype=torch.long), InvalidValueError, "1 or N rows"),
        (torch.zeros(1, 1, 5, dtype=torch.long), InvalidValueError, r"\(1, 1, 5\)"),
        (torch.zeros(5), InvalidTypeError, "integers"),
        (3, InvalidTypeError, "mask"),
        ((torch.zeros(5, dtype=torch.long),) * 2, InvalidValueError, "tuple of 2"),
    ],
)
def test_masks_that_do_not_fit(mask, error, words, x):
    with pytest.raises(error, match=words):
        accept_features(mask, (x,), x)


def test_nothing_to_explain():
    empty = torch.zeros(2, 0)
    with pytest.raises(InvalidValueError, match="no feature"):
        accept_features(None, (empty,), empty)


def test_an_input_without_values_beside_one_with(x):
    found, _, game = values_of(lambda a, b: a.sum(1) + b.sum(1), (x, x[:, :0]))
    assert game.players == 5
    assert found.shape == (32, 3)
    assert [tuple(a.shape) for a in game.attributions(torch.ones(5, 3))] == [(3, 5), (3, 0)]


def test_padding_stays_with_its_own_feature(x):
    """NaN and -inf are selected, not multiplied."""

    def model(v):
        return v.clamp(-5, 5).nan_to_num(7.0).cumsum(1).square().sum(1)

    x[0, 1], x[1, 2] = float("nan"), float("-inf")
    base = torch.tensor([[0.5, 1.0, float("inf"), float("nan"), 0.1]], dtype=DOUBLE)
    found, coalitions, _ = values_of(model, x, base=base)
    expected = torch.stack([coalition_value(model, x, base, c) for c in coalitions])
    assert torch.equal(found, expected)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.int32])
def test_inputs_that_are_not_real_numbers(dtype, generator):
    x = torch.randint(2, (3, 4), generator=generator).to(dtype)
    table = torch.nn.Embedding(2, 3).double()

    def model(v):
        return table(v.long()).sum((1, 2)).square()

    found, coalitions, game = values_of(model, x)
    expected = torch.stack([coalition_value(model, x, torch.zeros_like(x), c) for c in coalitions])
    assert torch.allclose(found, expected.detach(), atol=1e-14)
    assert game.attributions(torch.ones(4, 3, dtype=DOUBLE)).dtype == DOUBLE


@pytest.mark.parametrize("base", [0.5, torch.full((1, 4), 2.5)])
def test_a_baseline_that_is_no_integer_is_not_rounded_in_silence(base):
    x = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(InvalidValueError, match=r"whole numbers.*int64"):
        accept_baselines(base, (x,), x, any_values=True)


def as_future(value):
    future = torch.futures.Future()
    future.set_result(value)
    return future


FORMS = {
    "tensor": lambda v: v.square().prod(1).sum(),
    "one row": lambda v: v.square().prod(1).sum().reshape(1),
    "number": lambda v: float(v.square().prod(1).sum()),
    "future": lambda v: as_future(v.square().prod(1).sum()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 3])
def test_one_value_per_batch(form, rows, x):
    """Features are then the same in all examples, and there is one value for all of them."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, coalitions, game = values_of(FORMS[form], x[:rows], base=0.2)
    assert {w.category for w in caught} <= {ExpansionWarning}
    expected = torch.stack([torch.where(c, x[:rows], 0.2).square().prod(1).sum() for c in coalitions])
    assert found.shape == (32, 1)
    assert torch.allclose(found[:, 0], expected, atol=1e-14)
    assert game.attributions(torch.ones(5, 1)).shape == (1, 5)


def test_integers_as_outputs(x):
    found, coalitions, _ = values_of(lambda v: (v > 0).sum(1), x)
    assert torch.equal(found, torch.stack([(torch.where(c, x, 0.0) > 0).sum(1) for c in coalitions]).double())


def test_outputs_without_numbers(x):
    with pytest.raises(InvalidTypeError, match="neither a tensor nor a number"):
        values_of(lambda v: "yes", x)


def test_a_mask_per_example_needs_a_value_per_example(x):
    with pytest.raises(InvalidValueError, match="feature_mask is with one row per example"):
        values_of(lambda v: v.sum(), x, mask=torch.arange(15).reshape(3, 5))


def test_futures_are_all_made_before_one_is_waited_for(x):
    made, waited = [], []

    class Slow(torch.futures.Future):
        def wait(self):
            waited.append(len(made))
            return super().wait()

    def model(v):
        future = Slow()
        future.set_result(v.square().prod(1))
        made.append(future)
        return future

    found, coalitions, _ = values_of(model, x, cap=2)
    assert torch.allclose(found, torch.stack([torch.where(c, x, 0.0).square().prod(1) for c in coalitions]))
    assert len(made) > 10
    assert waited[:3] == [1, 2, 3]  # the plain pass, the checked one, and one row of it by itself
    assert set(waited[3:]) == {len(made)}


def test_a_graph_is_evaluated_as_it_is(generator):
    model, nodes = GraphNet(), torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    with pytest.warns(ExpansionWarning, match="forward pass of its own"):
        found, coalitions, _ = values_of(model, nodes, target=1, more=edges, base=0.3)
    expected = torch.stack([model(torch.where(c, nodes, 0.3), edges)[:, 1] for c in coalitions])
    assert torch.allclose(found, expected.detach(), atol=1e-14)


def test_statistics_over_the_batch_are_noticed_also_where_the_first_features_equal_their_baselines(generator):
    """Copies of the inputs have the inputs' mean, so the check needs rows that differ."""
    x = torch.randn(3, 80, dtype=DOUBLE, generator=generator)
    x[:, :70] = 0.0
    without_one = ~torch.eye(80, dtype=torch.bool)

    def centred(v):
        return (v - v.mean(0)).square().sum(1)

    with pytest.warns(ExpansionWarning):
        found, _, _ = values_of(centred, x, without_one)
    assert torch.allclose(found, torch.stack([centred(torch.where(c, x, 0.0)) for c in without_one]), atol=1e-13)


def test_equal_coalitions_are_evaluated_once(x):
    coalitions = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    with pellucid.recording() as report:
        found, _, _ = values_of(mlp(), x, coalitions.repeat(50, 1), target=0)
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[:4], found[-4:])
    assert report.rows == 3 * (
        1 + 2 + 2 + 1
    )  # inputs, two coalitions; to check these, two rows beside them and one alone


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 200), st.integers(0, 2**30))
def test_distinct(rows, width, seed):
    generator = torch.Generator().manual_seed(seed)
    coalitions = torch.rand(rows, width, generator=generator) < 0.5
    coalitions = coalitions[torch.randint(rows, (2 * rows,), generator=generator)] if rows else coalitions
    chosen, place = distinct(coalitions)
    assert len({tuple(row.tolist()) for row in chosen}) == len(chosen)
    assert torch.equal(chosen[place], coalitions)


def test_chunks_learn_from_the_largest_tensor():
    sizes = []
    model = cnn()

    def counting(v):
        sizes.append(len(v))
        return model(v)

    x = torch.randn(1, 2, 8, 8, dtype=DOUBLE)
    values_of(counting, x, torch.rand(3000, 64) < 0.5, mask=torch.arange(64).reshape(8, 8), target=0)
    largest = 4 * 8 * 8 * 8
    assert sizes[1] <= 66
    assert max(sizes) > 66
    assert max(sizes) * largest <= CPU_BUDGET / LARGEST_SHARE


def test_memory_that_does_not_suffice_halves_the_chunk(x):
    sizes = []

    def model(v):
        if len(v) > 20:
            raise torch.OutOfMemoryError("too large")
        sizes.append(len(v))
        return v.square().sum(1)

    found, coalitions, _ = values_of(model, x)
    assert max(sizes) <= 20
    assert torch.allclose(found, torch.stack([torch.where(c, x, 0.0).square().sum(1) for c in coalitions]))


def test_a_function_whose_output_changes_its_shape(x):
    calls = []

    def model(v):
        calls.append(1)
        return v.sum(1) if len(calls) < 4 else v

    with pytest.raises(InvalidValueError, match="changed its shape"):
        values_of(model, x, cap=2)


def test_a_function_without_values(x):
    with pytest.raises(InvalidValueError, match=r"returned shape \(0, 3\).*no value to explain"):
        values_of(lambda v: v.new_zeros(0, 3), x)


def test_the_user_keeps_the_inputs(x):
    kept = x.clone()

    def writing(v):
        v.mul_(2)
        return v.sum(1)

    found, _, _ = values_of(writing, x)
    assert torch.equal(x, kept)
    assert torch.allclose(found[-1], 2 * x.sum(1))
    assert torch.equal(found[0], torch.zeros(3, dtype=DOUBLE))


def test_the_evaluator_needs_no_game(x):
    """Any perturbation can be evaluated: here the inputs, scaled."""

    class Scaled:
        samples = 7

        def values(self, samples, examples):
            factors = torch.arange(7.0, dtype=DOUBLE)[samples]
            return (factors[:, None, None] * x[examples],)

    question = accept_question(mlp(), x, 1)
    with progress(False, "", None) as bar:
        found = ForwardEvaluator(question, 1, (torch.zeros_like(x),), bar).evaluate(Scaled())
    assert torch.allclose(found, torch.stack([mlp()(k * x)[:, 1] for k in range(7)]), atol=1e-13)
