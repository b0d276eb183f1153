"""``pellucid explain`` from end to end, for every kind of MODEL and DATA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file

import pellucid
from tests.cli.conftest import tiny_pictures

Command = Callable[..., Result]


def explained(folder: Path, method: str = "integrated_gradients") -> pellucid.Explanation:
    return pellucid.load(folder / "attributions" / f"{method}.safetensors")


def test_folder_of_images_gives_pictures_report_and_attributions(pellucid_command: Command, workplace: Path) -> None:
    result = pellucid_command(
        "explain", "tiny_models:pictures", "animals", "-m", "saliency", "-m", "integrated_gradients", "-o", "out"
    )
    assert result.exit_code == 0, result.output
    pictures = sorted(path.name for path in (workplace / "out/pictures").iterdir())
    assert len(pictures) == 4 * 3
    assert "000-cat-0-saliency.png" in pictures
    for path in (workplace / "out/pictures").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert (image.width > 2 * image.height) == (path.stem[-1] in "01"), path  # panels are wide
    assert explained(workplace / "out").attributions.shape == (4, 3, 8, 8)
    assert explained(workplace / "out", "saliency").delta is None
    page = (workplace / "out/report.html").read_text()
    assert "cat/0.png" in page
    assert page.count("<article") == 4
    assert "put into evaluation mode" in page
    assert "put into evaluation mode" in result.stderr
    assert all(word in result.stdout for word in ("report.html", "attributions", "pictures", "12 PNGs"))


def test_attributions_are_those_of_the_library(pellucid_command: Command, workplace: Path) -> None:
    arguments = ("--n-steps", "32", "--baseline", "0.5", "--no-pictures", "-o", "out", "--target", "1")
    assert pellucid_command("explain", "tiny_models:rows", "rows.npy", *arguments).exit_code == 0
    import tiny_models

    rows = torch.from_numpy(np.load("rows.npy")).float()
    wanted = pellucid.explain(tiny_models.rows(), rows, target=1, baselines=0.5, n_steps=32)
    found = explained(workplace / "out")
    assert torch.allclose(found.attributions, wanted.attributions)
    assert torch.allclose(found.delta, wanted.delta, atol=1e-6)
    assert not (workplace / "out/pictures").exists()


def test_batches_give_the_same_as_one_call(pellucid_command: Command, workplace: Path) -> None:
    for size in ("1", "2", "5"):
        words = ("--batch-size", size, "--no-pictures", "-o", f"out{size}")
        assert pellucid_command("explain", "tiny_models:rows", "rows.npy", *words).exit_code == 0
    whole = explained(workplace / "out5")
    for size in ("1", "2"):
        parts = explained(workplace / f"out{size}")
        assert torch.allclose(parts.attributions, whole.attributions, atol=1e-6)
        assert torch.equal(parts.target, whole.target)
        assert parts.outputs.shape == whole.outputs.shape
        assert parts.delta.shape == (5,)


@pytest.mark.parametrize(
    ("model", "data", "options", "shape"),
    [
        ("tiny_models:ready", "animals/cat/0.png", (), (1, 3, 8, 8)),
        ("tiny_models:Pictures", "animals/cat/0.png", (), (1, 3, 8, 8)),
        ("tiny_models:grey", "animals", ("--grayscale", "--size", "6x10"), (4, 1, 6, 10)),
        ("tiny_models:grey", "pictures.npy", ("--mean", "0.5", "--std", "0.25"), (4, 1, 8, 8)),
        ("tiny_models:rows", "rows.npy", ("--examples", "0,3-4"), (3, 3)),
        ("tiny_models:rows", "rows.npy", ("--examples", "2"), (2, 3)),
        ("tiny_models:value", "rows.npy", (), (5, 3)),
        ("tiny_models:rows", "rows.csv", ("--label", "risk"), (3, 3)),
        ("tiny_models:rows", "rows.csv", ("--label", "risk", "--target", "label"), (3, 3)),
    ],
)
def test_kinds_of_model_and_data(
    pellucid_command: Command, workplace: Path, model: str, data: str, options: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    result = pellucid_command("explain", model, data, "-o", "out", *options)
    assert result.exit_code == 0, result.output
    assert tuple(explained(workplace / "out").attributions.shape) == shape
    assert len(list((workplace / "out/pictures").iterdir())) == 2 * shape[0]


def test_tables_show_names_values_and_labels(pellucid_command: Command, workplace: Path) -> None:
    words = ("--label", "risk", "--classes", "safe,risky", "--no-pictures", "-o", "out")
    result = pellucid_command("explain", "tiny_models:rows", "rows.csv", *words)
    assert result.exit_code == 0
    assert "Left out, for they hold text: city." in result.stderr
    page = (workplace / "out/report.html").read_text()
    assert all(word in page for word in ("income", "age", "size", "risky", "safe"))
    assert "risk</span>" not in page


def test_parquet_is_the_same_as_csv(pellucid_command: Command, workplace: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    parquet.write_table(csv.read_csv("rows.csv"), "rows.parquet")
    for name in ("csv", "parquet"):
        words = ("--label", "risk", "--no-pictures", "-o", name)
        assert pellucid_command("explain", "tiny_models:rows", f"rows.{name}", *words).exit_code == 0
    assert len(explained(workplace / "csv").names) == explained(workplace / "csv").inputs.shape[1]
    assert torch.equal(explained(workplace / "csv").attributions, explained(workplace / "parquet").attributions)


def test_safetensors_with_labels(pellucid_command: Command, workplace: Path) -> None:
    save_file({"inputs": torch.randn(3, 3), "labels": torch.tensor([0, 1, 1])}, "rows.safetensors")
    assert (
        pellucid_command("explain", "tiny_models:rows", "rows.safetensors", "--no-pictures", "-o", "out").exit_code == 0
    )
    page = (workplace / "out/report.html").read_text()
    assert page.count('class="badge') == 3


def test_labels_of_sub_folders_are_the_classes(pellucid_command: Command, workplace: Path) -> None:
    assert pellucid_command("explain", "tiny_models:pictures", "animals", "--no-pictures", "-o", "out").exit_code == 0
    page = (workplace / "out/report.html").read_text()
    assert page.count('class="badge') == 4
    assert "eel" in page


def test_gradient_shap_draws_from_baselines(pellucid_command: Command, workplace: Path) -> None:
    words = ("-m", "gradient_shap", "--baselines", "rows.npy", "--seed", "3", "--no-pictures")
    more = ("--set", "gradient_shap.n_samples=40", "--set", "stdevs=0.1")
    for out in ("one", "two"):
        assert (
            pellucid_command(
                "explain", "tiny_models:rows", "rows.csv", "--label", "risk", *words, *more, "-o", out
            ).exit_code
            == 0
        )
    one, two = (explained(workplace / out, "gradient_shap") for out in ("one", "two"))
    assert torch.equal(one.attributions, two.attributions)
    assert one.settings["n_samples"] == 40
    assert one.standard_error is not None


@pytest.mark.parametrize("rows", [1, 5])
def test_baselines_from_a_file(pellucid_command: Command, workplace: Path, rows: int) -> None:
    np.save("zero.npy", np.full((rows, 3), 0.25))
    words = ("--baseline", "zero.npy", "--batch-size", "2", "--no-pictures", "-o", "out")
    assert pellucid_command("explain", "tiny_models:rows", "rows.npy", *words).exit_code == 0
    assert pellucid_command(
        "explain", "tiny_models:rows", "rows.npy", "--baseline", "0.25", "--no-pictures", "-o", "same"
    ).exit_code == 0  # fmt: skip
    assert torch.allclose(
        explained(workplace / "out").attributions, explained(workplace / "same").attributions, atol=1e-6
    )


@pytest.mark.parametrize("rows", ["any", "two"])
def test_exported_programs(pellucid_command: Command, workplace: Path, rows: str) -> None:
    model = tiny_pictures()
    shapes = ({0: torch.export.Dim("batch", min=1, max=3)},) if rows == "any" else None
    program = torch.export.export(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, "model.pt2")
    result = pellucid_command("explain", "model.pt2", "pictures.npy", "--examples", "3", "--no-pictures", "-o", "out")
    assert result.exit_code == 0, result.output
    wanted = pellucid.explain(model, torch.from_numpy(np.load("pictures.npy"))[:3])
    assert torch.allclose(explained(workplace / "out").attributions, wanted.attributions, atol=1e-5)
    wrong = pellucid_command("explain", "model.pt2", "animals", "-o", "out")
    assert wrong.exit_code == 2
    assert "takes examples of 1x8x8, but DATA gives 3x8x8. Pass --grayscale." in wrong.output


def test_methods_are_listed(pellucid_command: Command) -> None:
    result = pellucid_command("methods")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == [info.name for info in pellucid.methods()]
    assert all(len(line.split()) > 3 for line in lines)


def test_version(pellucid_command: Command) -> None:
    assert pellucid_command("--version").output == f"pellucid, version {pellucid.__version__}\n"


def test_open_shows_the_report(pellucid_command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    assert pellucid_command("explain", "tiny_models:rows", "rows.npy", "--no-pictures", "--open").exit_code == 0
    assert opened == ["explanation/report.html"]


def test_progress_goes_to_stderr(pellucid_command: Command) -> None:
    result = pellucid_command("explain", "tiny_models:rows", "rows.npy", "--progress", "--no-pictures", "-o", "out")
    assert result.exit_code == 0
    assert "integrated_gradients" in result.stderr
    assert "%|" not in result.stdout


def test_importing_the_command_line_is_light() -> None:
    import subprocess
    import sys

    heavy = ("matplotlib", "jinja2", "PIL", "transformers", "pyarrow", "sklearn")
    code = f"import sys, pellucid.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
