"""The demo: trained well and fast, and explained through the command line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import pellucid
from examples import digits


def test_digits_are_learnt_and_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, train_labels, test, test_labels = digits.scans()
    assert len(train) + len(test) == 1797
    start = time.perf_counter()
    model = digits.train(train, train_labels)
    assert time.perf_counter() - start < 60
    with torch.no_grad():
        scores = model(test)
    right = scores.argmax(1) == test_labels
    assert right.float().mean() > 0.97
    chosen = digits.choose(scores, test_labels)
    assert not right[chosen[0]]
    assert right[chosen[-1]]

    save_file(model.state_dict(), tmp_path / "digits.safetensors")
    monkeypatch.setenv(digits.WEIGHTS, str(tmp_path / "digits.safetensors"))
    monkeypatch.setenv("PYTHONPATH", str(Path(pellucid.__file__).parents[1]))
    monkeypatch.chdir(Path(digits.__file__).parents[1])
    monkeypatch.setattr(digits, "METHODS", ("integrated_gradients", "gradient_shap", "smoothgrad"))
    pair = [chosen[0], chosen[-1]]
    digits.write_images(tmp_path / "images", test, test_labels, pair)
    digits.np.save(tmp_path / "baselines.npy", train[:50].numpy())
    digits.explain(tmp_path)

    found = pellucid.load(tmp_path / "attributions/integrated_gradients.safetensors")
    assert found.attributions.shape == (2, 1, 8, 8)
    assert (found.delta.abs() < 1e-2).all()
    page = (tmp_path / "report.html").read_text()
    assert 'data-state="right"' in page
    assert 'data-state="wrong"' in page
