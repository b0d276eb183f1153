"""Interpretable embeddings, token references and arguments as layers, under their established names."""

import pytest
import torch
from torch import nn

from pellucid.attr import (
    IntegratedGradients,
    InterpretableEmbeddingBase,
    LayerIntegratedGradients,
    ModelInputWrapper,
    TokenReferenceBase,
    configure_interpretable_embedding_layer,
    remove_interpretable_embedding_layer,
)
from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.testing import changed, fingerprint
from tests.embeddings.models import DOUBLE, Table, Twice, Words, ids_of, made


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"words": Words(), "tables": nn.ModuleList([nn.Embedding(3, 2)])})

    def forward(self, ids):
        return self.inner["words"](ids)


@pytest.mark.parametrize("name", ["inner.words.table", "inner.tables.0", "inner.words.positions"])
def test_taking_out_and_putting_back(name):
    model = made(Nested())
    if name.endswith("positions"):
        model.inner["words"].positions.eval()
        model.train()
        model.inner["words"].positions.eval()
    before, order = fingerprint(model, []), [n for n, _ in model.named_modules()]
    taken = configure_interpretable_embedding_layer(model, name)
    assert model.get_submodule(name) is taken
    assert taken.full_name == name
    remove_interpretable_embedding_layer(model, taken)
    assert changed(before, fingerprint(model, [])) == []
    assert [n for n, _ in model.named_modules()] == order


def test_attributions_are_those_at_the_embedding():
    model, ids, base = made(Twice()), (ids_of(), ids_of(length=4)), (ids_of(seed=3), ids_of(length=4, seed=4))
    at_layer = LayerIntegratedGradients(
        model,
        model.table,
    ).attribute
    with pytest.raises(InvalidValueError):  # two lengths have no sum
        at_layer(ids, base, target=1)
    expected = at_layer(ids, base, target=1, calls="each")
    taken = configure_interpretable_embedding_layer(model, "table")
    values, starts = (tuple(taken.indices_to_embeddings(x).detach() for x in xs) for xs in (ids, base))
    found = IntegratedGradients(model).attribute(values, starts, target=1)
    remove_interpretable_embedding_layer(model, taken)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vectors_pass_by_position_and_keyword():
    taken = InterpretableEmbeddingBase(nn.Embedding(4, 2), "table")
    vectors = torch.ones(1, 3, 2)
    assert taken(vectors, None) is vectors
    assert taken(input=vectors) is vectors
    assert taken.weight is taken.embedding.weight


@pytest.mark.filterwarnings("ignore:In order to make embedding layers")
def test_against_captum():
    captum = pytest.importorskip("captum.attr")
    model, ids = made(Words()), ids_of()
    theirs = captum.configure_interpretable_embedding_layer(model, "table")
    expected = captum.IntegratedGradients(model).attribute(theirs.indices_to_embeddings(ids), target=1)
    captum.remove_interpretable_embedding_layer(model, theirs)
    ours = configure_interpretable_embedding_layer(model, "table")
    found = IntegratedGradients(model).attribute(ours.indices_to_embeddings(ids), target=1)
    remove_interpretable_embedding_layer(model, ours)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    reference = captum.TokenReferenceBase(3).generate_reference(4, torch.device("cpu"))
    assert torch.equal(TokenReferenceBase(3).generate_reference(4, torch.device("cpu")), reference)


def configured_twice():
    model = made(Words())
    configure_interpretable_embedding_layer(model, "table")
    configure_interpretable_embedding_layer(model, "table")


def removed_twice():
    model = made(Words())
    taken = configure_interpretable_embedding_layer(model, "table")
    remove_interpretable_embedding_layer(model, taken)
    remove_interpretable_embedding_layer(model, taken)


def ids_to_a_configured_model():
    model = made(Words())
    configure_interpretable_embedding_layer(model, "table")
    model(ids_of())


class Awkward(nn.Module):
    def forward(self, values):
        return values


REFUSED = [
    (
        lambda: configure_interpretable_embedding_layer(made(Words())),
        InvalidValueError,
        "'embedding'.*table, positions",
    ),
    (lambda: configure_interpretable_embedding_layer(made(Words()), "table.weight"), InvalidValueError, "no module"),
    (lambda: configure_interpretable_embedding_layer(made(Words()), ""), InvalidValueError, "no module"),
    (lambda: configure_interpretable_embedding_layer(print), InvalidTypeError, "model is"),
    (configured_twice, InvalidValueError, "taken out of the model already"),
    (removed_twice, InvalidValueError, "does not stand in this model"),
    (lambda: remove_interpretable_embedding_layer(made(Words()), nn.Embedding(2, 2)), InvalidTypeError, "a Embedding"),
    (ids_to_a_configured_model, InvalidTypeError, "indices_to_embeddings"),
    (lambda: InterpretableEmbeddingBase(print, "x"), InvalidTypeError, "embedding is"),
    (lambda: TokenReferenceBase().generate_reference(-1, torch.device("cpu")), InvalidValueError, "sequence_length"),
    (lambda: TokenReferenceBase().generate_reference(1.5, torch.device("cpu")), InvalidTypeError, "sequence_length"),
    (lambda: ModelInputWrapper(print), InvalidTypeError, "module_to_wrap"),
    (lambda: ModelInputWrapper(Awkward()), InvalidValueError, "'values'"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED, ids=[match for *_, match in REFUSED])
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


class Many(nn.Module):
    """Takes arguments in every way."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, first, second=2.0, *rest, third, **others):
        return first * second + sum(rest) + third * others.get("fourth", 0.0)


def test_every_named_argument_is_a_layer():
    model = Many()
    model.train()
    model.norm.eval()
    wrapper = ModelInputWrapper(model)
    assert list(wrapper.input_maps) == wrapper.arg_name_list == ["first", "second", "third"]
    assert (wrapper.training, model.training, model.norm.training) == (True, True, False)
    x = torch.tensor([[1.0, 2.0]])
    assert torch.equal(wrapper(x, 3.0, x, third=x, fourth=5.0), model(x, 3.0, x, third=x, fourth=5.0))
    assert torch.equal(wrapper(x, third=x), model(x, third=x))
    with pytest.raises(TypeError):
        wrapper(x)


def test_arguments_and_layers_along_one_path():
    model = made(Table())
    categories, numbers = torch.tensor([[4, 0, 6], [1, 2, 2]]), torch.ones(2, 2, dtype=DOUBLE)
    wrapper = ModelInputWrapper(model)
    parts = LayerIntegratedGradients(wrapper, [*model.tables, wrapper.input_maps["numbers"]]).attribute(
        (categories, numbers), (0, 0.3), target=0, n_steps=100
    )
    total = sum(p.reshape(2, -1).sum(1) for p in parts)
    expected = (model(categories, numbers) - model(0 * categories, 0.3 * numbers))[:, 0]
    torch.testing.assert_close(total, expected.detach())
