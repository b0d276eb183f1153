"""``pellucid.explain`` of ids, of sentences with a tokenizer, and of Hugging Face models called by keyword."""

import pytest
import torch

import pellucid
from pellucid.attr import IntegratedGradients, NoiseTunnel
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.embeddings.models import DOUBLE, Table, Words, bert, gpt2, ids_of, made, tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

pytest.importorskip("transformers")
TEXTS = ["a cat is not a dog!", "good dogs"]


def embedded_forward(model, mask, **more):
    """The rest of a Hugging Face model after its embeddings, as its authors provide it."""
    return lambda vectors: model(inputs_embeds=vectors, attention_mask=mask, **more).logits


def fixed_start(model, tok, ids):
    """Padding in the place of what is not special."""
    special = torch.isin(ids, torch.tensor([tok.pad_token_id, tok.cls_token_id, tok.sep_token_id]))
    return model.get_input_embeddings()(torch.where(special, ids, tok.pad_token_id)).detach()


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift", "input_x_gradient", "saliency", "lrp"])
def test_sentences_against_input_embeddings_by_hand(method):
    model, tok = bert(), tokenizer()
    found = pellucid.explain(model, TEXTS, method, 1, tokenizer=tok)
    encoded = tok(TEXTS, padding=True, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    vectors = model.get_input_embeddings()(ids).detach()
    given = {"baselines": fixed_start(model, tok, ids)} if method in {"integrated_gradients", "deep_lift"} else {}
    forward = lambda v, m: embedded_forward(model, m)(v)  # noqa: E731
    by_hand = pellucid.explain(forward, vectors, method, 1, additional_forward_args=mask, **given)
    torch.testing.assert_close(found.attributions, by_hand.attributions.sum(-1), rtol=1e-9, atol=1e-11)
    assert torch.equal(found.inputs, ids)
    assert bool((found.attributions[mask == 0] == 0).all())
    assert found.tokens == (
        ("[CLS]", "a", "cat", "is", "not", "a", "dog", "!", "[SEP]"),
        ("[CLS]", "good", "dog", "##s", "[SEP]"),
    )
    assert found.settings["special_tokens"] == [[0, 8], [0, 4]]
    torch.testing.assert_close(found.outputs, model(**encoded).logits.detach())


@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
@pytest.mark.parametrize("baselines", ["pad", "zero", "mask", "unk", 9])
def test_sentences_are_complete(make, method, baselines):
    options = {"n_steps": "auto"} if method == "integrated_gradients" else {}
    found = pellucid.explain(
        make(), TEXTS, method, 1, tokenizer=tokenizer(), baselines={"input_ids": baselines}, **options
    )
    assert found.attributions.shape == found.inputs.shape
    special = torch.isin(found.inputs, torch.tensor([0, 2, 3]))
    assert bool((found.attributions[special] == 0).all())
    scale = float(found.outputs.abs().max())
    assert found.delta.abs().max() < (1e-3 if options else 1e-9) * scale


def test_one_text_equals_its_row_in_a_padded_batch():
    model, tok = bert(), tokenizer()
    batch = pellucid.explain(model, TEXTS, "deep_lift", 0, tokenizer=tok)
    alone = pellucid.explain(model, TEXTS[1], "deep_lift", 0, tokenizer=tok)
    torch.testing.assert_close(batch.attributions[1:, :5], alone.attributions)
    assert alone.attributions.shape == (1, 5)


def test_padding_at_the_left():
    model, tok = bert(), tokenizer()
    tok.padding_side = "left"
    found = pellucid.explain(model, TEXTS, "deep_lift", 0, tokenizer=tok)
    assert found.tokens[1][:4] == ("[PAD]",) * 4
    assert found.tokens[1][4:] == ("[CLS]", "good", "dog", "##s", "[SEP]")
    assert bool((found.attributions[1, :4] == 0).all())
    assert found.settings["special_tokens"][1] == [4, 8]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient_shap", {"seed": 1}),
        ("deep_lift_shap", {}),
        ("smoothgrad", {"seed": 1}),
        ("feature_ablation", {}),
        ("shapley_value_sampling", {"seed": 1}),
        (lambda m: NoiseTunnel(IntegratedGradients(m)), {"seed": 1, "nt_samples": 2, "n_steps": 5}),
    ],
)
def test_every_kind_of_method_takes_a_sentence(method, options):
    found = pellucid.explain(bert(), "a cat is not a dog", method, 1, tokenizer=tokenizer(), **options)
    assert found.attributions.shape == found.inputs.shape == (1, 8)
    assert bool(found.attributions[0, 1:-1].abs().sum() > 0)


def test_ablation_replaces_ids_by_ids():
    model, tok = bert(), tokenizer()
    found = pellucid.explain(model, "a cat", "feature_ablation", 1, tokenizer=tok, baselines="mask")
    ids = tok("a cat", return_tensors="pt")["input_ids"]
    changed = ids.clone()
    changed[0, 2] = tok.mask_token_id
    gap = (model(input_ids=ids).logits - model(input_ids=changed).logits)[0, 1]
    torch.testing.assert_close(found.attributions[0, 2], gap.detach())
    assert bool((found.attributions[0, [0, 3]] == 0).all())
    with pytest.raises(InvalidValueError, match="replaced by ids"):
        pellucid.explain(model, "a cat", "feature_ablation", 1, tokenizer=tok, baselines="zero")


def test_hugging_face_models_by_keyword():
    model, tok = bert(), tokenizer()
    encoded = tok(TEXTS, padding=True, return_tensors="pt")
    found = pellucid.explain(
        model,
        {"input_ids": encoded["input_ids"]},
        "deep_lift",
        2,
        additional_forward_args={"attention_mask": encoded["attention_mask"]},
        baselines={"input_ids": "pad"},
        tokenizer=tok,
    )
    torch.testing.assert_close(
        found.attributions, pellucid.explain(model, TEXTS, "deep_lift", 2, tokenizer=tok).attributions
    )
    types = {"input_ids": encoded["input_ids"], "token_type_ids": torch.zeros_like(encoded["input_ids"])}
    both = pellucid.explain(model, types, "deep_lift", 2)
    assert [a.shape for a in both.attributions] == [types["input_ids"].shape] * 2
    assert both.delta.abs().max() < 1e-9


def test_numbers_by_keyword_without_ids():
    def forward(*, x):
        return x.prod(1)

    found = pellucid.explain(forward, {"x": torch.tensor([[2.0, 3.0]])}, baselines={"x": 1.0})
    torch.testing.assert_close(found.attributions.sum(), torch.tensor(5.0))


def test_ids_and_numbers_in_a_tuple():
    model = made(Table())
    inputs = torch.tensor([[4, 0, 6], [1, 2, 2]]), torch.ones(2, 2, dtype=DOUBLE)
    found = pellucid.explain(model, inputs, target=0, baselines=(1, 0.3), n_steps=100)
    assert [a.shape for a in found.attributions] == [(2, 3), (2, 2)]
    torch.testing.assert_close(
        found.attributions[0].sum(1) + found.attributions[1].sum(1),
        (model(*inputs) - model(torch.ones_like(inputs[0]), 0.3 * inputs[1]))[:, 0].detach(),
    )
    assert torch.equal(found.baselines[0], torch.ones(1, 3, dtype=torch.long))


def test_the_predicted_class_and_the_target_per_example():
    model, ids = made(Words()), ids_of()
    found = pellucid.explain(model, ids)
    assert torch.equal(found.target, model(ids).argmax(1))
    assert found.baselines is None
    assert found.settings["baselines"] == "zero"


def test_cost_counts_every_pass():
    class Counting(Words):
        calls = 0

        def forward(self, ids):
            self.calls += 1
            return super().forward(ids)

    model = made(Counting())
    found = pellucid.explain(model, ids_of(), "deep_lift", 1, baselines=2)
    assert found.cost.calls == model.calls


def test_layers_and_neurons_of_sentences():
    model, tok = bert(), tokenizer()
    layer = model.bert.encoder.layer[0]
    at = pellucid.explain(model, "a cat is", "integrated_gradients", 1, tokenizer=tok, layer=layer)
    assert at.attributions.shape == (1, 5, 8)
    neuron = pellucid.explain(model, "a cat is", "deep_lift", tokenizer=tok, layer="bert.pooler", neuron=3)
    assert neuron.attributions.shape == (1, 5)
    conductance = pellucid.explain(model, "a cat is", "layer_conductance", 1, tokenizer=tok, layer=layer)
    assert conductance.attributions.shape == (1, 5, 8)


def test_functions_of_sentences():
    model, tok = bert(), tokenizer()

    def masked(input_ids, attention_mask):
        return model(input_ids=input_ids, attention_mask=attention_mask).logits

    def unmasked(input_ids):
        return model(input_ids=input_ids).logits

    found = pellucid.explain(masked, TEXTS, "deep_lift", 1, tokenizer=tok)
    torch.testing.assert_close(
        found.attributions, pellucid.explain(model, TEXTS, "deep_lift", 1, tokenizer=tok).attributions
    )
    assert pellucid.explain(unmasked, "a cat", "deep_lift", 1, tokenizer=tok).attributions.shape == (1, 4)
    with pytest.raises(InvalidValueError, match="attention_mask"):
        pellucid.explain(unmasked, TEXTS, "deep_lift", 1, tokenizer=tok)


def test_an_explanation_of_texts_survives_saving(tmp_path):
    found = pellucid.explain(bert(), TEXTS, "deep_lift", 1, tokenizer=tokenizer())
    again = pellucid.load(found.save(tmp_path / "e.safetensors"))
    assert again.tokens == found.tokens
    assert again.settings == found.settings
    assert torch.equal(again.attributions, found.attributions)
    assert "[CLS]" in found._repr_html_()


REFUSED = [
    ({"inputs": "a cat"}, InvalidTypeError, "tokenizer="),
    ({"inputs": ["a cat"]}, InvalidTypeError, "tokenizer="),
    ({"inputs": "a cat " * 20, "tokenizer": tokenizer}, InvalidValueError, "reads 16"),
    ({"inputs": TEXTS, "tokenizer": lambda: tokenizer(pad=False)}, InvalidValueError, "padding token"),
    ({"inputs": "a", "tokenizer": tokenizer, "additional_forward_args": 3}, InvalidTypeError, "by keyword"),
    ({"inputs": torch.ones(2, 3), "tokenizer": tokenizer}, InvalidTypeError, "neither texts nor their ids"),
    ({"inputs": TEXTS, "tokenizer": tokenizer, "method": "gradient_shap"}, InvalidValueError, "one text at a time"),
    ({"inputs": "a", "tokenizer": tokenizer, "baselines": "empty"}, InvalidValueError, "no such baseline"),
    ({"inputs": "a", "tokenizer": tokenizer, "baselines": -1}, InvalidValueError, "baselines is -1"),
    ({"inputs": "a", "tokenizer": tokenizer, "baselines": 10**400}, InvalidValueError, "1329 bits"),
    ({"inputs": "a", "tokenizer": tokenizer, "baselines": 10**6}, InvalidValueError, "cannot look up"),
    ({"inputs": "a", "tokenizer": tokenizer, "steps": 3}, InvalidTypeError, "steps"),
    ({"inputs": "a", "tokenizer": tokenizer, "method": "saliency", "baselines": "pad"}, InvalidTypeError, "baselines"),
]


@pytest.mark.parametrize(("given", "error", "match"), REFUSED, ids=[match for *_, match in REFUSED])
def test_refusals(given, error, match):
    made_now = {**given, **({"tokenizer": given["tokenizer"]()} if "tokenizer" in given else {})}
    with pytest.raises(error, match=match):
        pellucid.explain(bert(), **{"target": 1, **made_now})


def test_wrong_arguments_are_refused_before_the_model_runs():
    class Never(Words):
        def forward(self, ids):
            raise AssertionError("the model ran")

    for method, options in (("saliency", {"baselines": "pad"}), ("deep_lift", {"steps": 3})):
        with pytest.raises(InvalidTypeError):
            pellucid.explain(made(Never()), ids_of(), method, 1, **options)
