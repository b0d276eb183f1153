"""Layers and neurons: against the bare evaluations that they need, and against Captum.

Run ``python -m benchmarks.layers [--rounds N]``. The first table compares layer integrated gradients with forward and
backward passes of only the part after the layer, on as many rows, in chunks of the size that is fastest here; the
second compares eight neurons or targets in one call with one; the third compares with Captum at equal arguments.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import interleaved
from benchmarks.rules import plain_cnn
from pellucid import attr

STEPS = 50
CHUNKS = (8, 16, 32, 64)


class Classifier(nn.Module):
    """A small random BERT, called with embeddings."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            hidden_size=192, num_hidden_layers=6, num_attention_heads=6, intermediate_size=768, vocab_size=100
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, x: Tensor) -> Tensor:
        """Classify embedded tokens (N, T, 192)."""
        return self.bert(inputs_embeds=x).logits

    def after(self, layer: int) -> Callable[[Tensor], Tensor]:
        """What comes after an encoder layer, without anything that is needed to get there."""
        bert = self.bert

        def run(hidden: Tensor) -> Tensor:
            for block in bert.bert.encoder.layer[layer + 1 :]:
                found = block(hidden)
                hidden = found if isinstance(found, Tensor) else found[0]
            return bert.classifier(bert.bert.pooler(hidden))

        return run


def deep_cnn() -> nn.Sequential:
    """Four convolutions, two poolings and a classifier."""
    layers: list[nn.Module] = []
    for inputs, outputs, pooled in ((3, 32, False), (32, 32, True), (32, 64, False), (64, 64, True)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooled else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def cases() -> dict[str, tuple[nn.Module, nn.Module, Tensor, Callable[[Tensor], Tensor]]]:
    """Models with a layer, inputs, and the part after the layer."""
    cnn, bert = deep_cnn().eval(), Classifier().eval()
    layers = bert.bert.bert.encoder.layer
    images, texts = torch.randn(8, 3, 32, 32), torch.randn(8, 32, 192)
    return {
        "CNN, 1 image, after its first pooling": (cnn, cnn[4], images[:1], cnn[5:]),
        "CNN, 8 images, after its first pooling": (cnn, cnn[4], images, cnn[5:]),
        "CNN, 8 images, after its first convolution": (cnn, cnn[1], images, cnn[2:]),
        "BERT, 2 texts, after layer 3 of 6": (bert, layers[2], texts[:2], bert.after(2)),
        "BERT, 8 texts, after layer 3 of 6": (bert, layers[2], texts, bert.after(2)),
        "BERT, 8 texts, after layer 1 of 6": (bert, layers[0], texts, bert.after(0)),
    }


def part(run: Callable[[Tensor], Tensor], value: Tensor, rows: int, chunk: int) -> None:
    """Forward and backward passes of a part of a model on so many rows."""
    for start in range(0, rows, chunk):
        count = min(chunk, rows - start)
        leaf = value[:1].repeat(count, *[1] * (value.dim() - 1)).requires_grad_()
        torch.autograd.grad(run(leaf)[:, 0].sum(), leaf)


def layer_table(rounds: int) -> None:
    """Print layer integrated gradients against the part after the layer."""
    print("| layer integrated gradients, 50 steps | ours / bare part | ours / bare model | ours / Captum |")
    print("| --- | ---: | ---: | ---: |")
    import captum.attr

    for name, (model, layer, x, after) in cases().items():
        value = attr.LayerActivation(model, layer).attribute(x)
        value = value if isinstance(value, Tensor) else value[0]
        rows = STEPS * len(x)
        bare = {chunk: _part(after, value, rows, chunk) for chunk in CHUNKS}
        timed = interleaved(bare, max(2, rounds // 3))
        best = min(timed, key=timed.__getitem__)
        ours = attr.LayerIntegratedGradients(model, layer)
        theirs = captum.attr.LayerIntegratedGradients(model, layer)
        asked = {"ours": _asked(ours, x, target=0), "captum": _asked(theirs, x, target=0)}
        found = interleaved({**asked, "part": bare[best], "model": _part(model, x, rows, best)}, rounds)
        ratios = [found["ours"] / found[other] for other in ("part", "model", "captum")]
        print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} | {ratios[2]:.2f} |")


def _part(run: Callable[[Tensor], Tensor], value: Tensor, rows: int, chunk: int) -> Callable[[], None]:
    return lambda: part(run, value, rows, chunk)


def _asked(method: Any, x: Tensor, **arguments: Any) -> Callable[[], Any]:
    return lambda: method.attribute(x, **arguments)


def several_table(rounds: int) -> None:
    """Print eight neurons or targets against one."""
    torch.manual_seed(0)
    model = plain_cnn().eval()
    x = torch.randn(2, 3, 32, 32)
    print("\n| eight in one call / one | ratio |")
    print("| --- | ---: |")
    neurons = ("NeuronGradient", "NeuronIntegratedGradients", "NeuronDeepLift", "NeuronGuidedBackprop")
    for name in neurons:
        method = getattr(attr, name)(model, model[3])
        eight = _asked(method, x, neurons=[(k, 3, 4) for k in range(8)])
        _ratio(name, {"8": eight, "1": _asked(method, x, neuron_selector=(0, 3, 4))}, rounds)
    ablation = attr.NeuronFeatureAblation(model, model[3])
    mask = torch.arange(64).reshape(8, 8).repeat_interleave(4, 0).repeat_interleave(4, 1)
    eight = _asked(ablation, x, neurons=[(k, 3, 4) for k in range(8)], feature_mask=mask)
    one = _asked(ablation, x, neuron_selector=(0, 3, 4), feature_mask=mask)
    _ratio("NeuronFeatureAblation", {"8": eight, "1": one}, rounds)
    for name in ("IntegratedGradients", "DeepLift", "LRP"):
        method = getattr(attr, name)(model)
        both = {"8": _asked(method, x, targets=[*range(8)]), "1": _asked(method, x, target=0)}
        _ratio(f"{name}, targets", both, rounds)


def _ratio(name: str, both: dict[str, Callable[[], Any]], rounds: int) -> None:
    found = interleaved(both, rounds)
    first, second = both
    print(f"| {name} | {found[first] / found[second]:.2f} |")


def captum_table(rounds: int) -> None:
    """Print each layer and neuron method against Captum."""
    import captum.attr

    torch.manual_seed(0)
    model = plain_cnn()[:4].append(nn.AvgPool2d(14)).append(nn.Flatten()).append(nn.Linear(64, 10)).eval()
    x = torch.randn(4, 3, 32, 32)
    references = torch.randn(5, 3, 32, 32)
    target, neuron = {"target": 0}, {"neuron_selector": (1, 3, 4)}
    calls = {
        "LayerActivation": {},
        "LayerGradientXActivation": target,
        "LayerIntegratedGradients": target,
        "LayerConductance": target,
        "InternalInfluence": target,
        "LayerGradCam": target,
        "LayerDeepLift": target,
        "LayerDeepLiftShap": {**target, "baselines": references},
        "LayerGradientShap": {**target, "baselines": references, "n_samples": 20},
        "LayerFeatureAblation": {**target, "layer_mask": torch.arange(64)[:, None, None]},
        "GuidedGradCam": target,
        "NeuronGradient": neuron,
        "NeuronIntegratedGradients": neuron,
        "NeuronConductance": {**neuron, **target},
        "NeuronDeepLift": neuron,
        "NeuronDeepLiftShap": {**neuron, "baselines": references},
        "NeuronGradientShap": {**neuron, "baselines": references, "n_samples": 20},
        "NeuronGuidedBackprop": neuron,
        "NeuronDeconvolution": neuron,
    }
    print("\n| method, CNN, 4 images, second convolution | ours / Captum |")
    print("| --- | ---: |")
    for name, arguments in calls.items():
        ours, theirs = getattr(attr, name)(model, model[2]), getattr(captum.attr, name)(model, model[2])
        _ratio(name, {"ours": _asked(ours, x, **arguments), "captum": _asked(theirs, x, **arguments)}, rounds)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    layer_table(rounds)
    several_table(rounds)
    captum_table(rounds)


if __name__ == "__main__":
    main()
