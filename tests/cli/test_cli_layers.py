"""The command line at layers and for neurons."""

import numpy as np
import pytest
import torch

import pellucid
from pellucid.cli import _values as values
from pellucid.cli._failures import Refusal

MODEL = """
import torch
from torch import nn
def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
"""


@pytest.fixture
def explained(workplace, pellucid_command):
    """Run the command on a small net and three images, in the folder that it returns."""
    (workplace / "layered_net.py").write_text(MODEL)
    np.save(workplace / "three.npy", np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype("float32"))
    return lambda *options: pellucid_command("explain", "layered_net:make", "three.npy", *options, "-o", "out")


def test_layers(explained, workplace):
    result = explained("--layer", "0", "-m", "grad_cam", "-m", "deep_lift")
    assert result.exit_code == 0, result.output
    page = (workplace / "out" / "report.html").read_text()
    assert "Grad-CAM at 0" in page
    assert "DeepLIFT at 0" in page
    found = pellucid.load(next((workplace / "out" / "attributions").glob("*deep_lift*")))
    assert found.attributions.shape == (3, 4, 6, 6)
    assert found.layer == "0"


def test_neurons(explained, workplace):
    result = explained("--layer", "1", "--neuron", "2,1,:", "-m", "saliency")
    assert result.exit_code == 0, result.output
    found = pellucid.load(next((workplace / "out" / "attributions").glob("*saliency*")))
    assert found.attributions.shape == (3, 1, 8, 8)
    assert found.neuron == "2, 1, :"
    assert bool(torch.isfinite(found.attributions).all())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", "9"], "no such module"),
        (["-m", "grad_cam"], "explains a layer"),
        (["--neuron", "1"], "layer= as well"),
        (["--layer", "0", "-m", "occlusion"], "does not explain a layer"),
        (["--layer", "0", "--neuron", "x"], "is no index"),
    ],
)
def test_refusals(explained, options, words):
    result = explained(*options)
    assert result.exit_code == 2
    assert words in result.output


def test_selectors():
    assert values.parse_neuron("-1") == -1
    assert values.parse_neuron("0,:") == (0, slice(None))
    with pytest.raises(Refusal, match="no index"):
        values.parse_neuron("1,,2")
