"""Ids at their embeddings: against the definition, by hand; complete; every way from the input to the table."""

import pytest
import torch
from torch import nn

from pellucid import embed
from pellucid.attr import (
    LRP,
    DeepLift,
    DeepLiftShap,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    LayerIntegratedGradients,
    ModelInputWrapper,
    Saliency,
)
from pellucid.errors import (
    CompletenessWarning,
    InvalidTypeError,
    InvalidValueError,
    UnsupportedModelError,
)
from pellucid.testing import changed, fingerprint
from tests.embeddings.models import DOUBLE, HOW, Bags, Moving, Offsets, Placed, Table, Twice, Words, ids_of, made

METHODS = [(IntegratedGradients, {"n_steps": 200}), (DeepLift, {})]
each_method = pytest.mark.parametrize(("method", "options"), METHODS, ids=["ig", "deep_lift"])


def run(method, found, target=None, **options):
    given = {"target": target, "additional_forward_args": found.additional_forward_args, **options}
    return method(found.forward_func).attribute(found.inputs, found.baselines, **given)


def summed(method, found, target=None, **options):
    return found.summed(run(method, found, target, **options))


def per_row(values):
    return sum(v.reshape(len(v), -1).sum(1) for v in (values if isinstance(values, tuple) else (values,)))


@each_method
@pytest.mark.parametrize("baseline", ["zero", 2, "ids"])
def test_one_table_against_the_definition(method, options, baseline):
    model, ids = made(Words()), ids_of()
    base = ids_of(seed=9) if baseline == "ids" else baseline
    found = summed(method, embed(model, ids, base), 1, **options)
    vectors = model.table(ids).detach()
    start = torch.zeros_like(vectors)
    if baseline != "zero":
        start = model.table(base if baseline == "ids" else torch.full_like(ids, base)).detach()
    by_hand = method(model.rest).attribute(vectors, start, target=1, **options).sum(-1)
    torch.testing.assert_close(found, by_hand, rtol=1e-12, atol=1e-13)
    assert found.shape == ids.shape


def test_gradients_of_any_kind_against_the_definition():
    model, ids = made(Words()), ids_of()
    vectors = model.table(ids).detach()
    found = embed(model, ids)
    args = {"target": 2, "additional_forward_args": found.additional_forward_args}
    for method in (Saliency, InputXGradient, LRP):
        ours = found.summed(method(found.forward_func).attribute(found.inputs, **args))
        torch.testing.assert_close(ours, method(model.rest).attribute(vectors, target=2).sum(-1))


def test_repeated_ids_keep_their_own_values():
    model, ids = made(Words()), torch.tensor([[4, 7, 4, 4]])
    found = summed(IntegratedGradients, embed(model, ids, 0), 0)
    assert len(set(found[0, [0, 2, 3]].tolist())) == 3


@each_method
@pytest.mark.parametrize("how", HOW)
def test_every_way_to_the_table_is_complete(how, method, options):
    model, ids, base = made(Moving(how)), ids_of(), ids_of(seed=5)
    if how == "masked":
        base = base.masked_fill(base == 3, 4)
        ids = ids.masked_fill(ids == 3, 4)
    found = summed(method, embed(model, ids, base), **options)
    torch.testing.assert_close(per_row(found), (model(ids) - model(base)).detach(), rtol=1e-6, atol=1e-9)
    assert found.shape == ids.shape
    if how == "shifted":
        assert bool((found[:, -1] == 0).all())  # the last id does not reach the table
    alone = torch.cat([summed(method, embed(model, ids[i : i + 1], base[i : i + 1]), **options) for i in range(3)])
    torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-11)


@each_method
@pytest.mark.parametrize("how", HOW)
def test_as_many_examples_as_ids_are_not_mixed_up(how, method, options):
    model, ids, base = made(Moving(how)), ids_of(4, 4).masked_fill(ids_of(4, 4) == 3, 4), 5
    together = summed(method, embed(model, ids, base), **options)  # not a pass per step: warnings are errors
    alone = torch.cat([summed(method, embed(model, ids[i : i + 1], base), **options) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-11)


def test_what_the_model_brings_itself_stays():
    model, ids = made(Moving("joined")), ids_of()
    found = summed(DeepLift, embed(model, ids, "zero"))
    vectors = torch.zeros(3, 6, 4, dtype=DOUBLE)
    vectors[:, 0] = model.table.weight[2].detach()  # the start token
    start = torch.tanh(vectors * vectors.roll(1, 1)).sum((1, 2))
    torch.testing.assert_close(per_row(found), model(ids).detach() - start)


def test_a_table_that_is_given_ids_but_looks_positions_up():
    model, ids = made(Placed()), ids_of()
    found = embed(model, ids, 3)
    assert not isinstance(found.inputs, tuple)
    attributions = summed(DeepLift, found)
    torch.testing.assert_close(per_row(attributions), (model(ids) - model(torch.full_like(ids, 3))).detach())


def test_moved_ids_get_what_they_get_where_they_stand():
    ids, base = ids_of(), ids_of(seed=5)
    plain = summed(IntegratedGradients, embed(made(Moving("by keyword")), ids, base))
    for how in ("steps first", "flat", "int32", "pieces"):
        torch.testing.assert_close(summed(IntegratedGradients, embed(made(Moving(how)), ids, base)), plain)
    backwards = summed(IntegratedGradients, embed(made(Moving("backwards")), ids.flip(1), base.flip(1)))
    torch.testing.assert_close(backwards.flip(1), plain)


@each_method
def test_a_shared_table_and_inputs_of_different_lengths(method, options):
    model = made(Twice())
    question, answer = ids_of(length=4), ids_of(length=6, seed=2)
    bases = ids_of(length=4, seed=7), 3
    found = summed(method, embed(model, (question, answer), bases), 1, **options)
    assert [f.shape for f in found] == [question.shape, answer.shape]
    change = model(question, answer) - model(bases[0], torch.full_like(answer, 3))
    torch.testing.assert_close(per_row(found), change[:, 1].detach(), rtol=1e-7, atol=1e-9)


@each_method
@pytest.mark.parametrize("order", ["ids first", "numbers first"])
def test_categories_beside_numbers_along_one_path(method, options, order):
    model = made(Table())
    categories, base = torch.tensor([[4, 0, 6], [1, 2, 2]]), torch.tensor([[0, 1, 3]])
    numbers = torch.randn(2, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    start = torch.tensor([[0.3, -0.2]], dtype=DOUBLE)
    inputs, bases, forward = (categories, numbers), (base, start), model
    if order == "numbers first":
        inputs, bases, forward = inputs[::-1], bases[::-1], lambda x, c: model(c, x)
    found = summed(method, embed(forward, inputs, bases), 1, **options)
    assert [f.shape for f in found] == [x.shape for x in inputs]
    change = model(categories, numbers) - model(base.expand(2, 3), start.expand(2, 2))
    torch.testing.assert_close(per_row(found), change[:, 1].detach(), rtol=1e-6, atol=1e-9)


def test_several_tables_and_numbers_against_a_list_of_layers():
    model = made(Table())
    categories, numbers = torch.tensor([[4, 0, 6], [1, 2, 2]]), torch.ones(2, 2, dtype=DOUBLE)
    found = summed(IntegratedGradients, embed(model, (categories, numbers), (1, 0.2)), 0)
    wrapper = ModelInputWrapper(model)
    layers = [*wrapper.module.tables, wrapper.input_maps["numbers"]]
    parts = LayerIntegratedGradients(wrapper, layers).attribute((categories, numbers), (1, 0.2), target=0)
    torch.testing.assert_close(found[0], torch.stack([p.sum(1) for p in parts[:3]], 1))
    torch.testing.assert_close(found[1], parts[3])


def test_offsets_into_one_table():
    model = made(Offsets())
    categories, base = torch.tensor([[4, 0, 6], [1, 2, 2]]), torch.tensor([[0, 1, 3]])
    found = summed(IntegratedGradients, embed(model, categories, base), n_steps=100)
    torch.testing.assert_close(per_row(found), (model(categories) - model(base)).detach())


@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")  # a maximum has kinks
@each_method
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 0])
def test_bags_give_each_id_its_own(mode, padding_idx, method, options):
    model, ids, base = made(Bags(mode, padding_idx)), ids_of(least=0), ids_of(seed=6)
    ids[0, :2] = 0
    if padding_idx is not None:
        base[ids == 0] = 0  # how many ids count is held
        ids[base == 0] = 0
    extra = None
    if mode == "sum":
        extra = torch.rand(3, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(8))
    found = summed(method, embed(model, ids, base, extra), 1, **options)
    change = (model(ids, extra) - model(base, extra))[:, 1].detach()
    tolerance = 2e-2 if mode == "max" and method is IntegratedGradients else 1e-7
    torch.testing.assert_close(per_row(found), change, rtol=tolerance, atol=tolerance)
    if padding_idx is not None:
        assert bool((found[ids == 0] == 0).all())


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_distributions_of_ids():
    model, ids, rows = made(Words()), ids_of(), ids_of(rows=7, seed=4)
    found = embed(model, ids, rows)
    shap, delta = run(DeepLiftShap, found, 1, return_convergence_delta=True)
    assert len(found.baselines) == 7
    wanted = model(ids)[:, 1] - model(rows)[:, 1].mean()
    torch.testing.assert_close(per_row(found.summed(shap)), wanted.detach())
    by_hand = DeepLiftShap(model.rest).attribute(model.table(ids).detach(), model.table(rows).detach(), target=1)
    torch.testing.assert_close(shap, by_hand)
    assert delta.abs().max() < 1e-12
    drawn = run(GradientShap, found, 1, n_samples=4, seed=3, stdevs=0.1)
    assert found.summed(drawn).shape == ids.shape


def test_one_baseline_for_all_is_kept_as_one_row():
    assert len(embed(made(Words()), ids_of(), 2).baselines) == 1


def test_several_targets_share_a_call():
    model, ids = made(Words()), ids_of()
    found = embed(model, ids, 2)
    both = found.summed(run(IntegratedGradients, found, targets=[0, 2]))
    torch.testing.assert_close(both[1], summed(IntegratedGradients, found, 2))


def test_keyword_only_functions_and_arguments():
    model, ids = made(Words()), ids_of()
    mask = torch.ones(3, 5, dtype=DOUBLE)
    mask[0, 3:] = 0

    def forward(*, ids, mask):
        return model.rest(model.table(ids) * mask[..., None])

    found = summed(DeepLift, embed(forward, {"ids": ids}, {"ids": 2}, {"mask": mask}), 1)
    change = (forward(ids=ids, mask=mask) - forward(ids=torch.full_like(ids, 2), mask=mask))[:, 1]
    torch.testing.assert_close(per_row(found), change.detach())
    assert bool((found[0, 3:] == 0).all())


def test_positions_that_look_like_ids_are_not_taken_for_them():
    model = made(Words())
    ids = torch.arange(5)[None]  # equal to the positions
    found = embed(model, ids)
    assert not isinstance(found.inputs, tuple)
    torch.testing.assert_close(found.inputs, model.table(ids).detach())


class Elsewhere(Words):
    """Uses ids also beside the table."""

    def forward(self, ids):
        return super().forward(ids) * (1 + (ids == 2).any(1, keepdim=True))


def test_other_uses_of_ids_are_held_and_reported():
    model, ids = made(Elsewhere()), ids_of()
    ids[:, 0] = 3
    ids[ids == 2] = 4
    with pytest.warns(CompletenessWarning, match="beside their embeddings"):
        found = embed(model, ids, 2)
    attributions = summed(IntegratedGradients, found, 1, n_steps=100)
    held = (Words.forward(model, ids) - Words.forward(model, torch.full_like(ids, 2)))[:, 1]
    torch.testing.assert_close(per_row(attributions), held.detach())


def test_other_uses_that_change_nothing_are_not_reported():
    model, ids = made(Elsewhere()), ids_of(least=3)
    embed(model, ids, 5)  # warnings are errors in tests


class Combined(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(40, 3)

    def forward(self, ids, other=None):
        other = ids.roll(1, 1) if other is None else other
        return self.table((ids * 3 + other) % 40).sum((1, 2))


class Both(Words):
    def forward(self, first, second):
        return self.rest(self.table(torch.cat([first, second], 1)))


class Loose(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.weight = nn.Parameter(torch.randn(12, 3, dtype=DOUBLE))
        self.unused = nn.Embedding(12, 3)

    def forward(self, ids):
        if self.how == "functional":
            return nn.functional.embedding(ids, self.weight).sum((1, 2))
        if self.how == "one-hot":
            return (nn.functional.one_hot(ids, 12).double() @ self.weight).sum((1, 2))
        return self.weight[ids].sum((1, 2))


class OffsetBag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(12, 3)

    def forward(self, ids):
        return self.bag(ids.reshape(-1), torch.arange(0, ids.numel(), ids.shape[1])).sum(1)


class Paired(nn.Embedding):
    """A table that returns more than its vectors."""

    def forward(self, ids):
        return super().forward(ids), ids


class Unfolded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = Paired(12, 3)

    def forward(self, ids):
        return self.table(ids)[0].sum((1, 2))


REFUSED = [
    (lambda: embed(made(Unfolded()), ids_of()), UnsupportedModelError, "returns no floating-point tensor"),
    (lambda: embed(made(Combined()), ids_of()), UnsupportedModelError, "several ids each"),
    (lambda: embed(made(Both()), (ids_of(), ids_of())), UnsupportedModelError, r"inputs\[0\] and inputs\[1\]"),
    (lambda: embed(Loose("functional"), ids_of()), InvalidValueError, "without calling a torch.nn.Embedding module"),
    (lambda: embed(Loose("one-hot"), ids_of()), InvalidValueError, "reach no embedding"),
    (lambda: embed(Loose("index"), ids_of()), InvalidValueError, "reach no embedding"),
    (lambda: embed(made(OffsetBag()), ids_of()), UnsupportedModelError, "offsets"),
    (lambda: embed(nn.Linear(5, 2), ids_of()), InvalidValueError, "no torch.nn.Embedding"),
    (lambda: embed(made(Words()), torch.ones(2, 3)), InvalidTypeError, "without integers"),
    (lambda: embed(made(Words()), ids_of(), "pad"), InvalidValueError, "its id is not known"),
    (lambda: embed(made(Words()), ids_of(), "start"), InvalidValueError, "no such baseline"),
    (lambda: embed(made(Words()), ids_of(), 0.5), InvalidTypeError, "holds ids"),
    (lambda: embed(made(Words()), ids_of(), torch.ones(3, 5)), InvalidTypeError, "dtype torch.float32"),
    (lambda: embed(made(Words()), ids_of(), ids_of(length=4)), InvalidValueError, r"shape \(3, 4\)"),
    (lambda: embed(made(Twice()), (ids_of(), ids_of()), 2), InvalidTypeError, "2 inputs"),
    (lambda: embed(made(Words()), {"ids": ids_of()}, {"idx": 2}), InvalidValueError, "'idx'"),
    (lambda: embed(made(Words()), {"ids": ids_of()}, None, 3), InvalidTypeError, "by keyword"),
    (lambda: embed(made(Words()), {"ids": ids_of()}, None, {"ids": 3}), InvalidValueError, "it once"),
    (lambda: embed(made(Words()), {}), InvalidValueError, "empty"),
    (
        lambda: embed(made(Twice()), (ids_of(), ids_of()), (ids_of(rows=7), ids_of(rows=4))),
        InvalidValueError,
        "4 and 7 rows",
    ),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED, ids=[match for *_, match in REFUSED])
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_attributions_of_another_shape_are_refused():
    found = embed(made(Words()), ids_of())
    with pytest.raises(InvalidValueError, match="attributions"):
        found.summed(torch.ones(3, 5))


def test_the_padding_of_the_table_is_the_pad_baseline():
    model, ids = made(Words(padding_idx=7)), ids_of()
    torch.testing.assert_close(embed(model, ids, "pad").baselines, embed(model, ids, 7).baselines)


def test_another_course_at_the_baseline_is_refused():
    class Course(Words):
        def forward(self, ids):
            shown = super().forward(ids)
            return shown if bool((ids == 2).any()) else shown + super().forward(ids[:, :2])

    ids = ids_of()
    ids[ids == 2] = 3
    with pytest.raises(UnsupportedModelError, match="otherwise for the baselines"):
        embed(made(Course()), ids, 2)


class Failing(Words):
    """Fails at a chosen evaluation."""

    def __init__(self):
        super().__init__()
        self.fail_at, self.evaluations = None, 0

    def forward(self, ids):
        self.evaluations += 1
        vectors = self.table(ids)
        if self.evaluations == self.fail_at:
            raise KeyError("the model failed")
        return self.rest(vectors)


def test_nothing_is_left_behind():
    model, ids = made(Failing()), ids_of()

    def call():
        return summed(IntegratedGradients, embed(model, ids, 2), 1, internal_batch_size=7, n_steps=5)

    before = fingerprint(model, [ids])
    call()
    assert changed(before, fingerprint(model, [ids])) == []
    needed = model.evaluations
    for fail_at in range(1, needed + 1):
        model.evaluations, model.fail_at = 0, fail_at
        with pytest.raises(KeyError, match="the model failed"):
            call()
        assert changed(before, fingerprint(model, [ids])) == []


def test_two_threads_on_one_model():
    from concurrent.futures import ThreadPoolExecutor

    model = made(Twice())
    tasks = [(ids_of(seed=s), ids_of(length=4, seed=s + 1)) for s in range(8)]

    def call(inputs):
        return summed(IntegratedGradients, embed(model, inputs, (2, 3)), 1)

    alone = [call(inputs) for inputs in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(call, tasks))
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_against_captum_on_an_embedding():
    captum = pytest.importorskip("captum.attr")
    model, ids, base = made(Words()), ids_of(), ids_of(seed=9)
    theirs = captum.LayerIntegratedGradients(model, model.table).attribute(ids, base, target=1)
    ours = run(IntegratedGradients, embed(model, ids, base), 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
