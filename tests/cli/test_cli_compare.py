"""``pellucid compare`` and the end of a report: called as a user calls them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FEW = ("--metric", "deletion", "--metric", "sparseness")


def test_pictures_end_to_end(pellucid_command, workplace):
    result = pellucid_command(
        "compare", "tiny_models:pictures", "animals", "-m", "saliency", "-m", "input_x_gradient", *FEW, "--out", "out"
    )
    assert result.exit_code == 0, result.output
    assert "Deletion ↓" in result.output
    assert "better, ▼ worse than random" in result.output
    found = json.loads(Path("out/comparison.json").read_text())
    assert found["examples"] == 4
    assert list(found["metrics"]) == ["deletion", "sparseness"]
    assert set(found["methods"]) == {"saliency", "input_x_gradient", "random"}
    assert len(found["scores"]["saliency"]["deletion"]) == 4
    page = Path("out/comparison.html").read_text()
    assert "<script" not in page
    assert "animals/" in page
    assert Path("out/comparison.png").read_bytes().startswith(b"\x89PNG")


def test_tables_targets_and_parts(pellucid_command, workplace):
    words = ("compare", "tiny_models:rows", "rows.npy", "-m", "integrated_gradients", "-m", "gradient_shap")
    options = ("--baselines", "rows.npy", "--baseline", "0.1", "--target", "1", "--seed", "3", "--no-pictures")
    numbers = []
    for size in ("1", "2", "5"):
        result = pellucid_command(*words, *options, "--metric", "deletion", "--batch-size", size, "--out", size)
        assert result.exit_code == 0, result.output
        numbers.append(json.loads(Path(size, "comparison.json").read_text()))
    deletions = [found["scores"]["integrated_gradients"]["deletion"] for found in numbers]
    assert deletions[0] == pytest.approx(deletions[1])
    assert deletions[0] == pytest.approx(deletions[2])
    assert numbers[0]["costs"]["integrated_gradients"]["calls"] > numbers[2]["costs"]["integrated_gradients"]["calls"]
    assert not Path("1/comparison.png").exists()


def test_every_metric_that_needs_no_ground_truth_runs_on_pictures(pellucid_command, workplace):
    from pellucid.metrics import METRICS

    names = [name for name, info in METRICS.items() if "ground_truth" not in info.needs]
    words = [word for name in names for word in ("--metric", name)]
    result = pellucid_command("compare", "tiny_models:pictures", "animals", "-m", "saliency", *words, "--no-pictures")
    assert result.exit_code == 0, result.output
    assert list(json.loads(Path("comparison/comparison.json").read_text())["metrics"]) == names


def test_the_default_methods_and_metrics(pellucid_command, workplace):
    result = pellucid_command("compare", "tiny_models:rows", "rows.npy", "--no-pictures")
    assert result.exit_code == 0, result.output
    for name in ("deep_lift", "smoothgrad", "Max sensitivity", "Faithfulness"):
        assert name in result.output


def test_a_report_ends_with_the_comparison(pellucid_command, workplace):
    words = ("explain", "tiny_models:pictures", "animals", "-m", "saliency", "-m", "deep_lift", "--no-pictures")
    result = pellucid_command(*words, *FEW, "--out", "with")
    assert result.exit_code == 0, result.output
    page = Path("with/report.html").read_text()
    assert 'id="comparison"' in page
    assert page.index('id="comparison"') > page.index("Methods, checks and cost")
    assert "DeepLIFT" in page[page.index('id="comparison"') :]
    assert pellucid_command(*words, "--out", "without").exit_code == 0
    assert 'id="comparison"' not in Path("without/report.html").read_text()


def test_listing_metrics(pellucid_command):
    result = pellucid_command("metrics")
    assert result.exit_code == 0
    assert re.search(r"^deletion +↓ -∞ to ∞ +How large", result.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "deletions"), "Did you mean deletion"),
        (("--metric", "pointing_game"), "ground_truth"),
        (("--metric", "road"), "images"),
        (("--method", "gradients"), "gradient_shap"),
        (("--method", "gradient_shap"), "--baselines"),
        (("--target", "9"), "2 outputs"),
    ],
)
def test_refusals(pellucid_command, workplace, words, said):
    result = pellucid_command("compare", "tiny_models:rows", "rows.npy", *words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_model_that_breaks(pellucid_command, workplace):
    result = pellucid_command("compare", "tiny_models:Breaks", "rows.npy")
    assert result.exit_code == 1
    assert "wheels came off" in result.output
