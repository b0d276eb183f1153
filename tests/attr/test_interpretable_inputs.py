"""Interpretable inputs: what a model gets when features are absent, beside Captum's, and how attributions come back."""

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.attr import ImageMaskInput, InterpretableInput, ProductBaselines, TextTemplateInput, TextTokenInput
from pellucid.errors import InvalidTypeError, InvalidValueError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, size=(4, 6, 3), dtype=np.uint8))
HALVES = torch.zeros(4, 6, dtype=torch.int32)
HALVES[:, 3:] = 7
TOP, RIGHT = torch.zeros(4, 6, dtype=torch.bool), torch.zeros(4, 6, dtype=torch.bool)
TOP[:3], RIGHT[:, 4:] = True, True


class Tokenizer:
    """Splits at spaces; the id of a token is its length, and 1 and 2 enclose a text."""

    unk_token, unk_token_id = "<unk>", 0

    def encode(self, text: str, return_tensors: str | None = None) -> Any:
        ids = [1, *(len(word) + 2 for word in text.split()), 2]
        return torch.tensor([ids]) if return_tensors == "pt" else ids

    def convert_ids_to_tokens(self, ids: Any) -> list[str]:
        return [f"t{int(number)}" for number in ids]

    def convert_tokens_to_ids(self, token: Any) -> Any:
        if isinstance(token, list):
            return [self.convert_tokens_to_ids(one) for one in token]
        return int(token[1:]) if token.startswith("t") else self.unk_token_id


def coalitions(count: int) -> list[torch.Tensor]:
    return [torch.tensor([flags], dtype=torch.float32) for flags in itertools.product((0.0, 1.0), repeat=count)]


TEMPLATES: list[tuple[Any, ...]] = [
    ("{} feels {} right {}", ["Ann", "sad", "now"]),
    ("{} feels {} right {}", ["Ann", "sad", "now"], ["Somebody", "fine", "then"]),
    ("{} feels {} right {}", ["Ann", "sad", "now"], ["Somebody", "fine", "then"], [5, 2, 5]),
    ("{a} feels {b}", {"a": "Ann", "b": "sad"}, {"b": "fine", "a": "Bo"}, {"b": 1, "a": 0}),
    (lambda *words: "|".join(words), ["x", "y"], ["", "z"]),
    (lambda a, b: a + b, {"a": "x", "b": "y"}, lambda: {"b": "2", "a": "1"}),
    ("{}{}", ["x", "y"], lambda: ["1", "2"]),
]


@pytest.mark.parametrize("arguments", TEMPLATES)
def test_templates_are_those_of_captum(arguments: tuple[Any, ...]) -> None:
    captum = pytest.importorskip("captum.attr")
    ours, theirs = TextTemplateInput(*arguments), captum.TextTemplateInput(*arguments)
    assert isinstance(ours, InterpretableInput)
    assert torch.equal(ours.to_tensor(), theirs.to_tensor())
    assert ours.values == theirs.values
    assert ours.to_model_input() == theirs.to_model_input()
    for present in coalitions(ours.n_itp_features):
        assert ours.to_model_input(present) == theirs.to_model_input(present)
    attributions = torch.arange(1.0, 1.0 + ours.n_itp_features)[None]
    assert torch.equal(ours.format_attr(attributions), theirs.format_attr(attributions))


@pytest.mark.parametrize("skipped", [None, [1, 2], ["t1", "t2"], ["t1", "t5"]])
@pytest.mark.parametrize("baseline", [0, 9, "t9"])
def test_tokens_are_those_of_captum(skipped: Any, baseline: Any) -> None:
    captum = pytest.importorskip("captum.attr")
    text = "the bank of the river"
    ours = TextTokenInput(text, Tokenizer(), baseline, skipped)
    theirs = captum.TextTokenInput(text, Tokenizer(), baseline, skipped)
    assert torch.equal(ours.to_tensor(), theirs.to_tensor())
    assert (ours.values, ours.n_itp_features) == (theirs.values, theirs.n_itp_features)
    for name in ("inp_tensor", "itp_tensor"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert torch.equal(ours.to_model_input(), theirs.to_model_input())
    for present in coalitions(ours.n_itp_features)[::5]:
        assert torch.equal(ours.to_model_input(present), theirs.to_model_input(present))
    assert torch.equal(ours.format_attr(ours.to_tensor()), ours.to_tensor())


def test_what_is_given_away_cannot_change_the_input() -> None:
    text = TextTokenInput("a bb", Tokenizer())
    text.to_model_input().zero_()
    assert text.to_model_input().tolist() == [[1, 3, 4, 2]]


MASKS: list[dict[str, Any]] = [
    {},
    {"mask": HALVES},
    {"mask": HALVES.float()},
    {"mask": HALVES, "baseline": (1, 2, 3)},
    {"mask_list": [TOP, RIGHT]},
    {"mask_list": [TOP.int(), RIGHT], "baseline": (0, 0, 9), "mask": HALVES},
    {"mask": HALVES, "processor_fn": lambda image: np.asarray(image).sum()},
]


@pytest.mark.parametrize("arguments", MASKS)
def test_images_are_those_of_captum(arguments: dict[str, Any]) -> None:
    captum = pytest.importorskip("captum.attr")
    ours, theirs = ImageMaskInput(PICTURE, **arguments), captum.ImageMaskInput(PICTURE, **arguments)
    assert torch.equal(ours.to_tensor(), theirs.to_tensor())
    assert ours.values == [value.removesuffix(".0") for value in theirs.values]
    np.testing.assert_array_equal(ours.to_model_input(), theirs.to_model_input())
    for present in coalitions(ours.n_itp_features):
        np.testing.assert_array_equal(ours.to_model_input(present), theirs.to_model_input(present))
    for one, other in zip(ours.get_mask_list(), theirs.get_mask_list(), strict=True):
        assert torch.equal(one, other.bool())
    attributions = torch.arange(1.0, 1.0 + ours.n_itp_features)[None]
    assert torch.equal(ours.format_attr(attributions), attributions)
    assert torch.equal(ours.format_pixel_attr(attributions), theirs.format_pixel_attr(attributions))


def test_a_pixel_is_absent_as_soon_as_one_of_its_segments_is() -> None:
    both = np.asarray(ImageMaskInput(PICTURE, mask_list=[TOP, RIGHT]).to_model_input(torch.tensor([[1, 0]])))
    original = np.asarray(PICTURE)
    assert (both[:, 4:] == 255).all()
    np.testing.assert_array_equal(both[:, :4], original[:, :4])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_images_of_other_modes_become_coloured(mode: str) -> None:
    assert ImageMaskInput(PICTURE.convert(mode)).to_model_input().mode == "RGB"


def test_the_overlay_shows_borders_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    plt.switch_backend("Agg")
    image = ImageMaskInput(PICTURE, HALVES)
    figure, ax = image.plot_mask_overlay(border_width=1)
    try:
        assert [text.get_text() for text in ax.texts] == ["0", "7"]
        assert len(ax.images) == 3
        left, right = (
            np.asarray(ax.images[0].get_array())[:, part].mean(axis=(0, 1)) for part in (slice(3), slice(3, 6))
        )
        assert np.abs(left - right).max() > 0.1
    finally:
        plt.close(figure)
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert image.plot_mask_overlay(show=True, show_legends=False) is None
    assert shown == [1]
    plt.close("all")
    with pytest.raises(InvalidValueError, match="border_width"):
        image.plot_mask_overlay(border_width=-1)
    assert not plt.get_fignums()


def test_products_cover_all_combinations_evenly_and_keep_what_belongs_together() -> None:
    draw = ProductBaselines({"a": [1, 2], ("b", "c"): [(3, 4), (5, 6), (7, 8)]}, seed=3)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        sample = draw()
        assert (sample["b"], sample["c"]) in {(3, 4), (5, 6), (7, 8)}
        key = (sample["a"], sample["b"])
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert max(counts.values()) < 1.25 * min(counts.values())
    assert ProductBaselines([["x"], ["y"]]).sample() == ["x", "y"]


def test_products_have_a_generator_of_their_own() -> None:
    import random

    values = [list(range(1000))] * 3

    def state() -> Any:
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    first, second = ProductBaselines(values, seed=5), ProductBaselines(values, seed=5)
    before = state()
    assert [first() for _ in range(4)] == [second() for _ in range(4)]
    assert ProductBaselines(values, seed=6)() != ProductBaselines(values, seed=5)()
    assert state() == before
    torch.manual_seed(1)
    one = ProductBaselines(values)()
    torch.manual_seed(1)
    assert ProductBaselines(values)() == one
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    assert ProductBaselines(values, generator=generators[0])() == ProductBaselines(values, generator=generators[1])()


def test_products_stand_for_absent_values() -> None:
    draw = ProductBaselines({("he", "his"): [("she", "her"), ("it", "its")]}, seed=0)
    text = TextTemplateInput("{he} lost {his} hat", {"he": "he", "his": "his"}, draw, {"he": 0, "his": 0})
    found = {text.to_model_input(torch.tensor([[0]])) for _ in range(40)}
    assert found == {"she lost her hat", "it lost its hat"}
    assert text.to_model_input(torch.tensor([[1]])) == "he lost his hat"


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: TextTemplateInput(3, ["a"]), InvalidTypeError, "template"),
    (lambda: TextTemplateInput("{}{}", ["a"]), InvalidValueError, "template.*1 values"),
    (lambda: TextTemplateInput("{x}", {"y": "a"}), InvalidValueError, "template"),
    (lambda: TextTemplateInput("{}", "a"), InvalidTypeError, "values"),
    (lambda: TextTemplateInput("", []), InvalidValueError, "values is empty"),
    (lambda: TextTemplateInput("{}", ["a"], ["b", "c"]), InvalidValueError, "baselines"),
    (lambda: TextTemplateInput("{}", ["a"], {"a": "b"}), InvalidTypeError, "baselines"),
    (lambda: TextTemplateInput("{x}", {"x": "a"}, {"y": "b"}), InvalidValueError, "baselines"),
    (lambda: TextTemplateInput("{}", ["a"], mask=[0, 1]), InvalidValueError, "mask"),
    (lambda: TextTemplateInput("{}", ["a"], mask=[0.5]), InvalidTypeError, "mask"),
    (lambda: TextTemplateInput("{}", ["a"]).to_model_input([1]), InvalidTypeError, "perturbed_tensor"),
    (lambda: TextTemplateInput("{}", ["a"]).to_model_input(torch.ones(1, 2)), InvalidValueError, "perturbed_tensor"),
    (lambda: TextTokenInput(3, Tokenizer()), InvalidTypeError, "text"),
    (lambda: TextTokenInput("a", Tokenizer(), "missing"), InvalidValueError, "baselines.*does not know"),
    (lambda: TextTokenInput("a", Tokenizer(), 0.5), InvalidTypeError, "baselines"),
    (lambda: TextTokenInput("a", Tokenizer(), 0, ["missing"]), InvalidValueError, "skip_tokens"),
    (lambda: TextTokenInput("a", Tokenizer(), 0, [1, 2, 3]), InvalidValueError, "skip_tokens"),
    (lambda: ImageMaskInput("image.png"), InvalidTypeError, "image"),
    (lambda: ImageMaskInput(PICTURE, HALVES.T), InvalidValueError, "mask.*shape"),
    (lambda: ImageMaskInput(PICTURE, HALVES + 0.5), InvalidTypeError, "mask"),
    (lambda: ImageMaskInput(PICTURE, mask_list=[]), InvalidValueError, "mask_list"),
    (lambda: ImageMaskInput(PICTURE, mask_list=TOP), InvalidTypeError, "mask_list"),
    (lambda: ImageMaskInput(PICTURE, mask_list=[TOP, TOP & ~TOP]), InvalidValueError, r"mask_list\[1\] is empty"),
    (lambda: ImageMaskInput(PICTURE, baseline=(1, 2)), InvalidValueError, "baseline"),
    (lambda: ImageMaskInput(PICTURE, baseline=(1, 2, 256)), InvalidValueError, "baseline"),
    (lambda: ImageMaskInput(PICTURE, processor_fn=3), InvalidTypeError, "processor_fn"),
    (lambda: ImageMaskInput(PICTURE).to_model_input(torch.ones(1, 2)), InvalidValueError, "perturbed_tensor"),
    (lambda: ImageMaskInput(PICTURE).format_pixel_attr(torch.ones(2)), InvalidValueError, "itp_attr"),
    (lambda: ProductBaselines([[]]), InvalidValueError, "baseline_values"),
    (lambda: ProductBaselines([3]), InvalidTypeError, "baseline_values"),
    (lambda: ProductBaselines(3), InvalidTypeError, "baseline_values"),
    (lambda: ProductBaselines({("a", "b"): [(1,)]}), InvalidValueError, "baseline_values"),
    (lambda: ProductBaselines([[1]], seed="x"), InvalidTypeError, "seed"),
    (InterpretableInput, TypeError, "abstract"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
