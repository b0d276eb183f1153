"""Train a small network on real scans of digits, and let the command line explain right and wrong predictions.

The report ends with a comparison of the methods: what they are worth against random attributions.

Run it with ``python -m examples.digits``. The 1,797 scans of 8 by 8 pixels come with scikit-learn. Everything
is written to ``demo-report/``, or to the folder given as the only argument.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SEED = 1
TEST_SHARE = 0.4
EPOCHS = 12
SHOWN_RIGHT = 8
SHOWN_WRONG = 6
METRICS = ("deletion", "insertion", "faithfulness_correlation", "sparseness")
METHODS = ("integrated_gradients", "deep_lift", "gradient_shap", "guided_backprop", "smoothgrad")
WEIGHTS = "PELLUCID_DIGITS_WEIGHTS"


class DigitNet(nn.Module):
    """Two convolutions, batch normalisation, pooling and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return ten scores for each image (N, 1, 8, 8) with values from 0 to 1."""
        scores: Tensor = self.classifier(self.features(images))
        return scores


def trained() -> DigitNet:
    """Build the network with the weights that the last training left; the command line calls this."""
    model = DigitNet()
    model.load_state_dict(load_file(os.environ.get(WEIGHTS, "demo-report/digits.safetensors")))
    return model.eval()


def scans() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training images and labels, then test images and labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    parts = train_test_split(images, digits.target, test_size=TEST_SHARE, random_state=SEED, stratify=digits.target)
    train, test, train_labels, test_labels = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
    return train, train_labels, test, test_labels


def train(images: Tensor, labels: Tensor) -> DigitNet:
    """Train for a few seconds, the same way every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gains nothing from more, and loses much on a busy machine
    try:
        return _trained(images, labels)
    finally:
        torch.set_num_threads(threads)


def _trained(images: Tensor, labels: Tensor) -> DigitNet:
    torch.manual_seed(SEED)
    model = DigitNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    batches = -(-len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def choose(scores: Tensor, labels: Tensor) -> list[int]:
    """Return wrong predictions, the most confident first, then right ones of different digits."""
    confidence, predicted = scores.softmax(1).max(1)
    wrong = (predicted != labels).nonzero().flatten()
    wrong = wrong[confidence[wrong].argsort(descending=True)][:SHOWN_WRONG].tolist()
    right = [int(((predicted == labels) & (labels == digit)).nonzero()[0]) for digit in range(10)]
    return wrong + right[:SHOWN_RIGHT]


def write_images(folder: Path, images: Tensor, labels: Tensor, chosen: list[int]) -> None:
    """Write each chosen image as a PNG into the sub-folder of its true digit, in place of earlier ones."""
    from PIL import Image

    for earlier in folder.glob("*/scan-*.png"):
        earlier.unlink()
    for index in chosen:
        path = folder / str(int(labels[index])) / f"scan-{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[index, 0] * 255).round().to(torch.uint8).numpy()).save(path)


def explain(out: Path) -> None:
    """Call the public command line, as anyone would."""
    command = [sys.executable, "-m", "pellucid.cli", "explain", "examples.digits:trained", str(out / "images")]
    command += [word for method in METHODS for word in ("--method", method)]
    command += [word for metric in METRICS for word in ("--metric", metric)]
    command += ["--grayscale", "--classes", ",".join("0123456789"), "--examples", "all", "--seed", str(SEED)]
    command += ["--baselines", str(out / "baselines.npy"), "--set", "gradient_shap.n_samples=500", "--n-steps", "auto"]
    command += ["--set", "smoothgrad.nt_samples=100", "--title", "What a small network sees in handwritten digits"]
    subprocess.run([*command, "--out", str(out)], check=True)


def main() -> None:
    """Train, choose, explain, and say where the report is."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-report")
    out.mkdir(parents=True, exist_ok=True)
    os.environ[WEIGHTS] = str(out / "digits.safetensors")
    images, labels, test, test_labels = scans()
    start = time.perf_counter()
    model = train(images, labels)
    with torch.no_grad():
        scores = model(test)
    accuracy = float((scores.argmax(1) == test_labels).float().mean())
    print(f"trained on {len(images)} scans in {time.perf_counter() - start:.1f} s: ", end="")
    print(f"{accuracy:.2%} of {len(test)} test scans right")
    save_file(model.state_dict(), out / "digits.safetensors")
    write_images(out / "images", test, test_labels, choose(scores, test_labels))
    np.save(out / "baselines.npy", images[:100].numpy())
    explain(out)
    print(f"\nOpen {(out / 'report.html').resolve()} in a browser.")


if __name__ == "__main__":
    main()
