"""Draw the pictures of ``docs/gallery.md``: small models, trained in seconds on real data, and what they look at.

Run it with ``python -m examples.gallery``; pictures go to ``docs/gallery/``, or to the folder given as the only
argument. Digits, photographs and the table come with scikit-learn. The electrocardiogram comes with PyWavelets, and
its picture is drawn if that is installed.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

import pellucid
from examples import digits, sentences
from pellucid import Explanation, visualization
from pellucid.errors import ConvergenceWarning

SEED = 3
DPI = {"photograph": 66, "layer": 66}  # noisy pictures make large files
SHOWN_DIGITS = 8


def fit(model: nn.Module, inputs: Tensor, labels: Tensor, epochs: int, rate: float = 3e-3) -> nn.Module:
    """Train a classifier, the same way every time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    order = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs), generator=order).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
    return model.eval()


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of right predictions."""
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


def scans() -> tuple[nn.Module, Tensor, Tensor]:
    """Train the network of the demo; return it with test scans and their labels."""
    images, labels, test, test_labels = digits.scans()
    return digits.train(images, labels), test, test_labels


def digit_maps(model: nn.Module, test: Tensor, labels: Tensor) -> Figure:
    """One scan of each of several digits, all on one scale."""
    chosen = torch.stack([test[labels == digit][0] for digit in range(SHOWN_DIGITS)])
    explanation = pellucid.explain(model, chosen, n_steps="auto")
    return explanation.plot(list(range(SHOWN_DIGITS)))[0]


def convergence(model: nn.Module, test: Tensor) -> Figure:
    """How the error of integrated gradients falls with the number of steps, for each rule."""
    steps = [4, 8, 16, 32, 64, 128, 256]
    inputs = test[:16].double()
    model = model.double()
    errors = {}
    for rule in ("gausslegendre", "riemann_middle", "riemann_trapezoid", "riemann_left"):
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # few steps are the point
            found = [pellucid.explain(model, inputs, n_steps=n, quadrature=rule).delta for n in steps]
        errors[rule] = torch.stack(found).numpy()
    model.float()
    axis = Figure(figsize=(6, 4), layout="tight").subplots()
    visualization.draw_convergence(
        axis, steps, errors, tolerance=1e-2, title="Integrated gradients, largest of 16 scans"
    )
    return axis.figure


def deletion(model: nn.Module, test: Tensor, count: int = 100) -> Figure:
    """How the probability of the predicted digit falls as pixels are blanked, for three rankings of the pixels."""
    inputs = test[:count]
    target = model(inputs).argmax(1)
    random = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(SEED))
    rankings = {
        "integrated gradients": pellucid.explain(model, inputs, target=target).attributions,
        "saliency": pellucid.explain(model, inputs, method="saliency", target=target).attributions,
        "random": random,
    }
    shares = np.linspace(0, 1, 17)
    curves = {}
    for name, values in rankings.items():
        order = values.flatten(1).argsort(dim=1, descending=True)
        points = []
        for share in shares:
            blanked = inputs.flatten(1).scatter(1, order[:, : round(share * order.shape[1])], 0.0).view_as(inputs)
            with torch.no_grad():
                points.append(model(blanked).softmax(1).gather(1, target[:, None])[:, 0])
        curves[name] = torch.stack(points).numpy()
    axis = Figure(figsize=(6, 4), layout="tight").subplots()
    visualization.draw_removal(
        axis, shares, curves, ylabel="probability of the digit", title=f"Deletion, {count} scans"
    )
    return axis.figure


class PatchNet(nn.Module):
    """Says of a picture of any size whether it shows the palace or the flower."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 2))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return two scores for each picture (N, 3, H, W) with values from 0 to 1."""
        scores: Tensor = self.head(self.features(pictures))
        return scores


def photographs() -> list[Tensor]:
    """Return the palace and the flower, (3, H, W), at a quarter of their size."""
    from sklearn.datasets import load_sample_image

    names = ("china.jpg", "flower.jpg")
    arrays = [np.ascontiguousarray(load_sample_image(name)[:424:4, :640:4]) for name in names]
    return [torch.from_numpy(array).permute(2, 0, 1).float() / 255 for array in arrays]


def patch_net(pictures: list[Tensor]) -> PatchNet:
    """Train on pieces of 32 by 32 pixels of both photographs."""
    torch.manual_seed(SEED)
    pieces, labels = [], []
    for label, picture in enumerate(pictures):
        for _ in range(300):
            top, left = (int(torch.randint(size - 32, (1,))) for size in picture.shape[1:])
            pieces.append(picture[:, top : top + 32, left : left + 32])
            labels.append(label)
    model = PatchNet()
    fit(model, torch.stack(pieces), torch.tensor(labels), epochs=8)
    return model


def photograph(model: PatchNet, picture: Tensor) -> Explanation:
    """Explain why the photograph of the palace is taken for the palace."""
    return pellucid.explain(model, picture[None], method="deep_lift", target=0, baselines=picture.mean().item())


def tiles(explanation: Explanation) -> Figure:
    """The same values, summed over squares of 16 by 16 pixels."""
    values = explanation.attributions[0].sum(0).numpy()
    rows, columns = np.indices(values.shape) // 16
    number = rows * (columns.max() + 1) + columns
    sums = np.bincount(number.ravel(), weights=values.ravel())[number]
    axis = Figure(figsize=(5, 4.4), layout="tight").subplots()
    image = explanation.inputs[0].permute(1, 2, 0)
    visualization.draw_attribution(axis, sums, image=image, segments=number, title="DeepLIFT, summed over tiles")
    return axis.figure


def layer(model: PatchNet, picture: Tensor) -> Figure:
    """What the channels of the last convolution contribute."""
    with torch.no_grad():
        maps = model.features(picture[None])
    explanation = pellucid.explain(model.head, maps, target=0)
    axis = Figure(figsize=(8.4, 4.0), layout="tight").subplots()
    image = picture.permute(1, 2, 0)
    visualization.draw_channels(
        axis, explanation.attributions[0], image=image, top=7, title="Last convolution, target palace"
    )
    return axis.figure


def table() -> Explanation:
    """Explain which measurements make a tumour benign or malignant for a small network: 114 test rows."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    parts = train_test_split(data.data, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    train, test, labels, truth = parts
    mean, spread = train.mean(0), train.std(0)
    rows, held = (torch.from_numpy((part - mean) / spread).float() for part in (train, test))
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2))
    fit(model, rows, torch.from_numpy(labels), epochs=12)
    right = accuracy(model, held, torch.from_numpy(truth))
    print(f"breast cancer: {right:.1%} of {len(held)} test rows right")
    return pellucid.explain(model, held, target=0, n_steps="auto", names=list(data.feature_names))


def heartbeat() -> Explanation:
    """Explain why a small network sees a heartbeat in the middle of an electrocardiogram."""
    import pywt

    signal = torch.from_numpy(pywt.data.ecg().astype(np.float32))
    signal = (signal - signal.mean()) / signal.std()
    windows = signal.unfold(0, 192, 1)[:, None].contiguous()
    labels = (windows[:, 0, 80:112].amax(1) > 2.0).long()  # the peak of a beat in the middle sixth
    torch.manual_seed(SEED)
    model = nn.Sequential(
        nn.Conv1d(1, 8, 9, padding=4), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(8, 8, 5, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 48, 2),
    )  # fmt: skip
    fit(model, windows[::2], labels[::2], epochs=6)
    print(f"electrocardiogram: {accuracy(model, windows[1::2], labels[1::2]):.1%} of {len(labels) // 2} windows right")
    beat = int(labels.nonzero()[len(labels.nonzero()) // 2])
    return pellucid.explain(model, windows[beat : beat + 1], method="deep_lift", target=1, names=["ECG"])


def sentence() -> Explanation:
    """Explain why a trained encoder finds a sentence similar to another one."""
    return sentences.explained(*sentences.encoder(), *sentences.PAIRS[0], "deep_lift")


def pictures() -> dict[str, Callable[[], Figure]]:
    """Return what draws each picture, by the name of its file."""
    model, test, labels = scans()
    photos = photographs()
    net = patch_net(photos)
    palace, cells = photograph(net, photos[0]), table()
    found: dict[str, Callable[[], Figure]] = {
        "digits": lambda: digit_maps(model, test, labels),
        "photograph": lambda: palace.plot()[0],
        "tiles": lambda: tiles(palace),
        "layer": lambda: layer(net, photos[0]),
        "table": lambda: cells.plot(top=12)[0],
        "waterfall": lambda: cells.plot(kind="waterfall")[0],
        "beeswarm": lambda: cells.plot(kind="beeswarm")[0],
        "convergence": lambda: convergence(model, test),
        "deletion": lambda: deletion(model, test),
    }
    if sentences.installed():
        alike = sentence()
        found["sentence"] = lambda: alike.plot()[0]
    if find_spec("pywt"):
        beat = heartbeat()
        found["series"] = lambda: beat.plot()[0]
    return found


def main() -> None:
    """Draw every picture."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/gallery")
    out.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # such small networks gain nothing from more
    try:
        for name, draw in pictures().items():
            path = out / f"{name}.png"
            with Image.open(io.BytesIO(visualization.png_bytes(draw(), dpi=DPI.get(name, 90)))) as picture:
                picture.convert("RGB").save(path, optimize=True)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
