"""DeepLIFT: time and memory against a plain forward pass with input gradient, and against Captum.

Run ``python -m benchmarks.rules [--rounds N]``. Two passes are needed, so 2 is the floor of the first column.
"""

from __future__ import annotations

import argparse
import warnings

import torch
from torch import Tensor, nn

from benchmarks.measure import interleaved, peak_megabytes
from benchmarks.models import resnet
from pellucid.attr import DeepLift

BATCH = 8


class Encoder(nn.Module):
    """A BERT-like encoder: 4 layers of width 256 with a classifier on the mean."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify embedded tokens (N, T, 256)."""
        return self.head(self.layers(x).mean(1))


class Recurrent(nn.Module):
    """An LSTM of 50 steps with a classifier on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(64, 128, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify sequences (N, T, 64)."""
        return self.head(self.cells(x)[0][:, -1])


def llama() -> nn.Module:
    """A small random Llama: 4 layers of width 256, called with embeddings."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=100,
        pad_token_id=0,
        num_labels=10,
    )
    return Embedded(LlamaForSequenceClassification(config))


class Embedded(nn.Module):
    """A Hugging Face model called with the embeddings of its tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Classify embedded tokens (N, T, width)."""
        return self.model(inputs_embeds=x, use_cache=False).logits


def deep_resnet() -> nn.Module:
    """A residual network of ResNet-18's kind, narrower."""
    return resnet(64)


def plain_cnn() -> nn.Module:
    """A net that Captum's module rules are right on."""
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


CASES = {
    "CNN, modules only": (plain_cnn, (3, 32, 32)),
    "ResNet": (deep_resnet, (3, 32, 32)),
    "BERT-like, 32 tokens": (Encoder, (32, 256)),
    "BERT-like, 128 tokens": (Encoder, (128, 256)),
    "Llama-like, 32 tokens": (llama, (32, 256)),
    "Llama-like, 128 tokens": (llama, (128, 256)),
    "LSTM, 50 steps": (Recurrent, (50, 64)),
}


def plain(model: nn.Module, x: Tensor) -> None:
    """One forward pass and the gradient of the inputs."""
    x = x.detach().requires_grad_()
    torch.autograd.grad(model(x)[:, 0].sum(), x)


def build(name: str) -> tuple[nn.Module, Tensor]:
    """Make a model in evaluation mode and its inputs."""
    torch.manual_seed(0)
    make, shape = CASES[name]
    return make().eval(), torch.randn(BATCH, *shape)


SETUP = """
from benchmarks.rules import build, plain
from pellucid.attr import DeepLift
model, x = build({name!r})
method = DeepLift(model)
{warm}
"""


def main() -> None:
    """Print the table."""
    import captum.attr

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{'DeepLIFT':24} {'ours/plain':>10} {'ours/Captum':>12} {'memory ours/plain':>18}")
    for name in CASES:
        model, x = build(name)
        base = 0.1 * torch.randn_like(x)
        theirs, method = captum.attr.DeepLift(model), DeepLift(model)
        functions = {
            "plain": lambda m=model, v=x: plain(m, v),
            "ours": lambda m=method, v=x, b=base: m.attribute(v, b, target=0),
        }
        try:
            theirs.attribute(x, base, target=0)
            functions["captum"] = lambda m=theirs, v=x, b=base: m.attribute(v, b, target=0)
        except Exception as error:
            print(f"{name}: Captum refuses ({type(error).__name__})")
        seconds = interleaved(functions, rounds)
        beside = seconds["ours"] / seconds["captum"] if "captum" in seconds else float("nan")
        peaks = []
        for warm in ("plain(model, x[:1])", "method.attribute(x[:1], 0.1, target=0)"):
            statement = "plain(model, x)" if warm.startswith("plain") else "method.attribute(x, 0.1, target=0)"
            peaks.append(peak_megabytes(SETUP.format(name=name, warm=warm), statement))
        print(f"{name:24} {seconds['ours'] / seconds['plain']:10.2f} {beside:12.2f} {peaks[1] / peaks[0]:18.2f}")


if __name__ == "__main__":
    main()
