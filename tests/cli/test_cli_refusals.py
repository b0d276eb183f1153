"""What cannot be used is refused in one line with code 2; what the model raises ends with code 1."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import save_file

Command = Callable[..., Result]
GOOD = ("tiny_models:rows", "rows.npy")


@pytest.fixture
def odd_files(workplace: Path) -> Path:
    """Add files with which something is wrong."""
    (workplace / "empty.npy").touch()
    (workplace / "empty.csv").touch()
    (workplace / "header.csv").write_text("a,b\n")
    (workplace / "text.csv").write_text("a,b\nx,y\n")
    (workplace / "uneven.csv").write_text("a,b\n1,2\n3\n")
    (workplace / "hole.csv").write_text("a,b\n1,2\n,4\n")
    (workplace / "double.csv").write_text("a,a\n1,2\n")
    (workplace / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (workplace / "noise.png").write_bytes(b"this is no picture")
    (workplace / "cut.png").write_bytes((workplace / "animals/cat/0.png").read_bytes()[:60])
    (workplace / "noise.npy").write_bytes(b"this is no array")
    (workplace / "noise.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    (workplace / "noise.parquet").write_bytes(b"this is no table")
    (workplace / "noise.pt2").write_bytes(b"this is no program")
    (workplace / "mystery.dat").write_bytes(b"?")
    (workplace / "words.txt").write_text("hello\n")
    (workplace / "vacant").mkdir()
    (workplace / "occupied").write_text("a file")
    np.save(workplace / "scalar.npy", np.float32(3))
    np.save(workplace / "names.npy", np.array(["a", "b"]))
    np.save(workplace / "wide.npy", np.zeros((5, 4), np.float32))
    np.save(workplace / "nan.npy", np.full((2, 3), np.nan, np.float32))
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}, workplace / "two.safetensors")
    save_file({"weight": torch.zeros(2)}, workplace / "weights.safetensors")
    (workplace / "mixed").mkdir()
    for name, size in (("a.png", 4), ("b.png", 6)):
        from PIL import Image

        Image.new("RGB", (size, size)).save(workplace / "mixed" / name)
    with (workplace / "model.bin").open("wb") as stream:
        pickle.dump({"weights": 1}, stream)
    return workplace


REFUSED = [
    (("nowhere:factory", "rows.npy"), "there is no module 'nowhere'"),
    (("tiny_models:missing", "rows.npy"), "tiny_models has no 'missing'"),
    (("tiny_models:number", "rows.npy"), "is a int"),
    (("tiny_models:nothing", "rows.npy"), "returned a int"),
    (("tiny models:x", "rows.npy"), "no name of the form"),
    (("justaname", "rows.npy"), "names no model"),
    (("gone.pt2", "rows.npy"), "gone.pt2 does not exist"),
    (("some/folder", "rows.npy"), "does not exist"),
    (("noise.pt2", "rows.npy"), "no exported program"),
    (("vacant", "rows.npy"), "without a readable config.json"),
    (("weights.safetensors", "rows.npy"), "weights without a model"),
    (("model.bin", "rows.npy"), "a pickle can run any code"),
    (("words.txt", "rows.npy"), "is no model"),
    (("tiny_models:rows", "gone.npy"), "gone.npy does not exist"),
    (("tiny_models:rows", "empty.npy"), "empty.npy is empty"),
    (("tiny_models:rows", "noise.npy"), "is no .npy file"),
    (("tiny_models:rows", "scalar.npy"), "The first dimension counts examples"),
    (("tiny_models:rows", "names.npy"), "no real numbers"),
    (("tiny_models:rows", "noise.safetensors"), "cannot be read as safetensors"),
    (("tiny_models:rows", "two.safetensors"), "Name the one to explain 'inputs'"),
    (("tiny_models:rows", "empty.csv"), "is empty"),
    (("tiny_models:rows", "header.csv"), "holds no row"),
    (("tiny_models:rows", "text.csv"), "no numeric column"),
    (("tiny_models:rows", "uneven.csv"), "Line 3 of uneven.csv has 1 fields"),
    (("tiny_models:rows", "hole.csv"), "Column 'a' of hole.csv has no finite value in row 1"),
    (("tiny_models:rows", "double.csv"), "two columns 'a'"),
    (("tiny_models:rows", "binary.csv"), "no readable UTF-8"),
    (("tiny_models:rows", "noise.parquet"), "cannot be read as Parquet"),
    (("tiny_models:rows", "mystery.dat"), "of no known kind"),
    (("tiny_models:rows", "words.txt"), "texts need a Hugging Face text model"),
    (("tiny_models:rows", "nan.npy"), "NaN"),
    (("tiny_models:pictures", "noise.png"), "noise.png is no image"),
    (("tiny_models:pictures", "cut.png"), "cannot be read as an image"),
    (("tiny_models:pictures", "vacant"), "holds no image"),
    (("tiny_models:pictures", "mixed"), "--size HxW"),
    (("tiny_models:pictures", "animals", "--mean", "1,2"), "--mean holds 2 numbers"),
    (("tiny_models:pictures", "animals", "--std", "0"), "above zero"),
    (("tiny_models:pictures", "animals", "--std", "x"), "--std is 'x'"),
    (("tiny_models:pictures", "animals", "--size", "8"), "--size is '8'"),
    ((*GOOD, "--method", "salency"), "Did you mean saliency?"),
    ((*GOOD, "--target", "2"), "the model has 2 outputs"),
    ((*GOOD, "--target", "-1"), "--target is '-1'"),
    ((*GOOD, "--target", "label"), "the true class of every example"),
    ((*GOOD, "--n-steps", "0"), "--n-steps is '0'"),
    ((*GOOD, "--n-steps", "9", "-m", "saliency"), "no chosen method takes steps"),
    ((*GOOD, "--baseline", "1", "-m", "saliency"), "no chosen method has a baseline"),
    ((*GOOD, "--baselines", "rows.npy"), "for methods that draw rows"),
    ((*GOOD, "--baseline", "wide.npy"), "holds examples of shape (4,)"),
    ((*GOOD, "--baseline", "gone.npy"), "gone.npy does not exist"),
    ((*GOOD, "--baseline", "rows.npy", "--examples", "2"), "holds 5 rows"),
    ((*GOOD, "-m", "gradient_shap"), "Pass --baselines FILE"),
    ((*GOOD, "--set", "novelty=1"), "no chosen method has such an argument"),
    ((*GOOD, "--set", "saliency.abs=false"), "no chosen method"),
    ((*GOOD, "--set", "integrated_gradients.novelty=1"), "has no such argument. It takes:"),
    ((*GOOD, "--set", "noequals"), "Pass it as key=value"),
    ((*GOOD, "--set", "target=1"), "option of its own: --target"),
    ((*GOOD, "--set", "internal_batch_size=many"), "internal_batch_size"),
    ((*GOOD, "--classes", "a,b,c"), "--classes holds 3 names, but the model has 2"),
    ((*GOOD, "--classes", "gone.txt"), "gone.txt, which does not exist"),
    ((*GOOD, "--classes", " , "), "holds no name"),
    ((*GOOD, "--examples", "9,"), "there are 5 (0 to 4)"),
    ((*GOOD, "--examples", "a-b"), "'a-b' is no position"),
    ((*GOOD, "--examples", "0"), "names no example"),
    ((*GOOD, "--label", "gone.npy"), "gone.npy does not exist"),
    (("tiny_models:rows", "rows.csv", "--label", "height"), "has no such column. It has: age"),
    ((*GOOD, "--out", "occupied/inner"), "cannot be written to"),
]


@pytest.mark.parametrize(
    ("words", "message"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_refused_with_one_line(
    pellucid_command: Command, odd_files: Path, words: tuple[str, ...], message: str
) -> None:
    out = () if "--out" in words else ("--out", "out")
    result = pellucid_command("explain", *words, *out)
    assert result.exit_code == 2, result.output
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert not (odd_files / "out/report.html").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny_models:Breaks", "the model raised RuntimeError: the wheels came off"),
        ("tiny_models:broken_factory", "tiny_models:broken_factory raised KeyError"),
        ("broken_import:anything", "importing broken_import raised OSError: no disk"),
        ("tiny_models:pictures", "the model raised RuntimeError"),
    ],
)
def test_the_models_own_error_ends_with_one(
    pellucid_command: Command, workplace: Path, model: str, message: str
) -> None:
    result = pellucid_command("explain", model, "rows.npy", "--out", "out")
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    shown = pellucid_command("explain", model, "rows.npy", "--out", "out", "--traceback")
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize("words", [("explain",), ("explain", "a"), ("explain", "a", "b", "--nonsense"), ("tell",)])
def test_wrong_usage_ends_with_two(pellucid_command: Command, words: tuple[str, ...]) -> None:
    assert pellucid_command(*words).exit_code == 2


def test_control_characters_do_not_reach_the_terminal(pellucid_command: Command, workplace: Path) -> None:
    (workplace / "evil\x1b[2J.csv").write_text("a\nx\n")
    result = pellucid_command("explain", "tiny_models:rows", "evil\x1b[2J.csv", "--out", "out")
    assert result.exit_code == 2
    assert "\x1b" not in result.output
