"""Layers at both ends of any function, so that layer and neuron methods stand under the tests of all methods.

At a layer that passes the inputs on, a layer method explains the inputs; at one that passes the output on, a neuron is
an output. Properties of the methods on inputs hold there as they are.
"""

import pytest
import torch
from torch import nn

from pellucid._core.output import output_tensor


class Passes(nn.Module):
    """Passes on what it gets."""

    def forward(self, *values):
        return values[0] if len(values) == 1 else values


class AtInputs:
    """Builds a layer method for a layer that the inputs pass, but not the additional arguments."""

    def __init__(self, method, spatial=False, **settings):
        self.method, self.spatial, self.settings = method, spatial, settings

    def __call__(self, forward):
        return self.built(forward, 1)

    def built(self, forward, count):
        layer = Passes()

        def model(*args):
            values = layer(*args[:count])
            values = values if isinstance(values, tuple) else (values,)
            values = tuple(v.squeeze(-1) for v in values) if self.spatial else values
            return forward(*values, *args[count:])

        return self.method(model, layer, **self.settings)

    def run(self, forward, inputs, given):
        """Attribute, with the result in the structure of the inputs; some methods need a spatial dimension."""
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        parts = tuple(v.unsqueeze(-1) for v in parts) if self.spatial else parts
        if self.method.__name__ == "LayerActivation":
            given.pop("target", None)
        found = self.built(forward, len(parts)).attribute(parts if len(parts) > 1 else parts[0], **given)
        found = tuple(f.squeeze(-1) for f in found) if self.spatial and isinstance(found, tuple) else found
        found = found.squeeze(-1) if self.spatial and torch.is_tensor(found) else found
        return (found,) if isinstance(inputs, tuple) and not isinstance(found, tuple) else found


class AtOutput:
    """Builds a neuron method for a layer that the output passes; its neurons are the targets."""

    def __init__(self, method):
        self.method = method

    def __call__(self, forward):
        layer = Passes()
        return self.method(lambda *args: layer(output_tensor(forward(*args))), layer)

    def run(self, forward, inputs, given):
        target = given.pop("target", None)
        if isinstance(target, list):
            pytest.skip("a neuron is the same for all examples")
        if self.method.__name__ == "NeuronConductance":
            given["target"] = target
        selector = (lambda z: z) if target is None else target
        return self(forward).attribute(inputs, selector, **given)
