"""A folder with tiny models and data of every kind, and the command line called as a user calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from pellucid.cli import main

MODELS = """
import torch
from torch import nn

class Pictures(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                                    nn.Dropout(0.5), nn.Linear(16, 3))
    def forward(self, x):
        return self.layers(x)

def pictures():
    return Pictures()

def grey():
    return Pictures(1)

ready = Pictures().eval()

def rows():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).eval()

def value():
    return nn.Sequential(nn.Linear(3, 1)).eval()

class Breaks(nn.Module):
    def forward(self, x):
        raise RuntimeError("the wheels\\ncame off")

def broken_factory():
    raise KeyError("no weights")

def nothing():
    return 3

number = 7
"""


def tiny_pictures() -> nn.Module:
    """Return the model that a test exports."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a current directory with models and data."""
    (tmp_path / "tiny_models.py").write_text(MODELS)
    (tmp_path / "broken_import.py").write_text("raise OSError('no disk')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("tiny_models", "broken_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    generator = np.random.default_rng(0)
    for label, count in (("cat", 2), ("dog", 1), ("eel", 1)):
        for index in range(count):
            path = tmp_path / "animals" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    np.save(tmp_path / "rows.npy", generator.normal(size=(5, 3)))
    np.save(tmp_path / "pictures.npy", generator.random((4, 1, 8, 8)).astype(np.float32))
    (tmp_path / "rows.csv").write_text("age,city,income,size,risk\n30,Bonn,1.5,2,0\n40,Ulm,2.5,-1,1\n50,Jena,0,0.5,1\n")
    return tmp_path


@pytest.fixture
def pellucid_command(workplace: Path) -> Callable[..., Result]:
    """Return a function that runs the command line and keeps tracebacks of our own errors visible."""

    def run(*words: str) -> Result:
        result = CliRunner().invoke(main, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
