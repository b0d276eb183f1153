"""Local Hugging Face folders: images and texts, without network and without code of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

import pellucid

transformers = pytest.importorskip("transformers")

Command = Callable[..., Result]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "##s", "a", "<b>"]


@pytest.fixture
def text_model(workplace: Path) -> Path:
    folder = workplace / "texts"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(
        vocab_size=len(WORDS), max_position_embeddings=32, id2label={0: "sad", 1: "happy", 2: "neither"},
        label2id={"sad": 0, "happy": 1, "neither": 2}, **sizes,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def image_model(workplace: Path) -> Path:
    folder = workplace / "pictures-model"
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(
        image_size=16, patch_size=8, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1}, **sizes
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    settings = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 16, "width": 16}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_texts_of_different_lengths(pellucid_command: Command, workplace: Path, text_model: Path) -> None:
    (workplace / "reviews.txt").write_text("a good film\n\nbad films\n")
    result = pellucid_command(
        "explain",
        "texts",
        "reviews.txt",
        "-m",
        "integrated_gradients",
        "-m",
        "saliency",
        "-m",
        "gradient_shap",
        "-o",
        "out",
    )
    assert result.exit_code == 0, result.output
    found = pellucid.load(workplace / "out/attributions/integrated_gradients.safetensors")
    assert found.attributions.shape == (2, 5, 16)  # [CLS] a good film [SEP]; [CLS] bad film ##s [SEP]
    assert found.tokens[1] == ("[CLS]", "bad", "film", "##s", "[SEP]")
    assert [text.get_text() for text in found.plot(1)[1].texts][:4] == ["[CLS]", "bad", "films", "[SEP]"]
    assert found.delta.abs().max() < 1e-3
    assert found.outputs.shape == (2, 3)
    page = (workplace / "out/report.html").read_text()
    assert all(word in page for word in ("good", "films", "[CLS]"))
    assert len(list((workplace / "out/pictures").iterdir())) == 2 * 4


def test_a_quoted_text_and_special_tokens_kept_in_the_baseline(
    pellucid_command: Command, workplace: Path, text_model: Path
) -> None:
    assert pellucid_command("explain", "texts", "a bad film", "--no-pictures", "-o", "out").exit_code == 0
    found = pellucid.load(workplace / "out/attributions/integrated_gradients.safetensors")
    per_token = found.attributions.sum(-1)[0]
    assert per_token[0] == 0  # [CLS] stands in the baseline too
    assert per_token[-1] == 0
    assert (per_token[1:-1] != 0).all()


@pytest.mark.parametrize("words", [60, 600])
def test_a_quoted_text_may_be_longer_than_a_file_name(
    pellucid_command: Command, workplace: Path, text_model: Path, words: int
) -> None:
    result = pellucid_command("explain", str(text_model), "good film " * words, "-m", "saliency", "--no-pictures")
    assert result.exit_code == 0, result.output


def test_long_texts_are_cut_and_that_is_said(pellucid_command: Command, workplace: Path, text_model: Path) -> None:
    result = pellucid_command("explain", "texts", "good " * 40, "--no-pictures", "-o", "out")
    assert result.exit_code == 0, result.output
    assert "Only the first 32 tokens of a text are read" in result.stderr
    assert "Only the first 32 tokens" in (workplace / "out/report.html").read_text()


def test_images_are_prepared_as_the_folder_says(pellucid_command: Command, workplace: Path, image_model: Path) -> None:
    result = pellucid_command("explain", "pictures-model", "animals", "--no-pictures", "-o", "out")
    assert result.exit_code == 0, result.output
    found = pellucid.load(workplace / "out/attributions/integrated_gradients.safetensors")
    assert found.inputs.shape == (4, 3, 16, 16)
    assert found.inputs.min() < -1
    page = (workplace / "out/report.html").read_text()
    assert page.count('class="badge') == 3  # the model knows cats and dogs, but no eels
    assert "eel" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is a BertForMaskedLM"),
        ({"architectures": []}, "Pass a folder with one of"),
        ({"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"}, "cannot be loaded"),
        ({"num_hidden_layers": 2}, "lacks weights"),
    ],
)
def test_folders_that_do_not_fit(
    pellucid_command: Command, text_model: Path, change: dict[str, object], message: str
) -> None:
    path = text_model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (text_model / "evil.py").write_text("open('sprung', 'w')\nclass Config: pass\n")
    result = pellucid_command("explain", "texts", "good", "-o", "out")
    assert result.exit_code == 2, result.output
    assert message in result.stderr.splitlines()[-1]
    assert not Path("sprung").exists()


def test_other_refusals(pellucid_command: Command, workplace: Path, text_model: Path) -> None:
    for data, message in (("animals", "is no text"), ("gone.txt", "does not exist"), ("  ", "holds no text")):
        result = pellucid_command("explain", "texts", data, "-o", "out")
        assert result.exit_code == 2
        assert message in result.stderr
    (text_model / "adapter_config.json").write_text("{}")
    assert "is an adapter" in pellucid_command("explain", "texts", "good", "-o", "out").stderr


def test_texts_are_compared_token_by_token(pellucid_command: Command, workplace: Path, text_model: Path) -> None:
    (workplace / "reviews.txt").write_text("a good film\n\nbad films\na bad bad film\n")
    methods = ("-m", "integrated_gradients", "-m", "saliency", "-m", "gradient_shap")
    metrics = ("--metric", "deletion", "--metric", "sparseness", "--metric", "sensitivity_max")
    result = pellucid_command("compare", "texts", "reviews.txt", *methods, *metrics, "-o", "judged", "--no-pictures")
    assert result.exit_code == 0, result.output
    found = json.loads((workplace / "judged/comparison.json").read_text())
    assert found["examples"] == 3
    assert all(len(found["scores"][name]["deletion"]) == 3 for name in found["scores"])
    again = pellucid_command("explain", "texts", "reviews.txt", *methods, *metrics, "-o", "report", "--no-pictures")
    assert again.exit_code == 0, again.output
    assert 'id="comparison"' in (workplace / "report/report.html").read_text()
