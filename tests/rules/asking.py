"""How the tests ask the engine: multipliers of a callable, and how far they are from complete."""

import torch

from pellucid._core.rules import deep_lift_gradients


def weighted(output):
    """A fixed combination of all outputs of an example."""
    flat = output.reshape(output.shape[0], -1)
    return flat @ torch.cos(1.7 * torch.arange(flat.shape[1], dtype=flat.dtype) + 0.5)


def lifted(forward, *inputs, baselines=None, select=weighted, **options):
    if baselines is None:
        generator = torch.Generator().manual_seed(7)
        baselines = tuple(0.1 + 0.7 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in inputs)
    return baselines, deep_lift_gradients(forward, inputs, baselines, select, **options)


def incompleteness(forward, *inputs, total=False, **options):
    """The largest |sum m (x - x') - (F - F')| of an example, relative to the largest difference."""
    baselines, result = lifted(forward, *inputs, **options)
    difference = result.outputs - result.reference_outputs
    attributed = sum(
        (m * (x - b)).reshape(x.shape[0], -1).sum(1)
        for m, x, b in zip(result.multipliers, inputs, baselines, strict=True)
    )
    if total:
        difference, attributed = difference.sum(), attributed.sum()
    assert difference.abs().max() > 1e-6
    return float((attributed - difference).abs().max() / difference.abs().max())


def gradient(forward, x, select=weighted):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(select(forward(leaf)).sum(), leaf)[0]
