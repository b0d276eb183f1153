"""What is checked: how a method is built and called, and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.testing._models import DOUBLE, mlp
from pellucid.typing import ForwardFunction

SEED = 11


@dataclass(frozen=True)
class Subject:
    """A method under the contract; ``check_method`` tells what its fields mean."""

    make: Callable[[ForwardFunction], Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    tolerance: float = 1e-10
    delta: bool = False
    baselines: bool = False
    samples: bool = False
    cap: str | None = None
    one_target: bool = False
    rectifiers: bool = False
    heals: bool = False
    exempt: Mapping[str, str] = field(default_factory=dict)

    def run(self, forward: ForwardFunction, inputs: Any, **more: Any) -> Any:
        """Attribute, with the subject's own arguments and further ones; functions among them are given the inputs."""
        given = {k: v(inputs) if callable(v) else v for k, v in {**self.arguments, **more}.items()}
        if self.samples and "generator" not in given:
            given.setdefault("seed", SEED)
        return asked(self.make(forward))(inputs, **given)

    def net(self, features: int = 5) -> nn.Sequential:
        """A curved model that the method can explain."""
        return mlp(features, activation=nn.Softplus if self.rectifiers else nn.Tanh)

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The activation of ``net`` as a function."""
        return nn.functional.softplus if self.rectifiers else torch.tanh

    @property
    def about(self) -> str:
        """What ``net`` is, in words."""
        return f"a dense network with {'softplus' if self.rectifiers else 'tanh'}"


def asked(method: Any) -> Callable[..., Any]:
    """What is called to get attributions: ``attribute`` of an object, or a function itself."""
    call: Callable[..., Any] = getattr(method, "attribute", method)
    return call


def inputs_of_net(seed: int = 7, examples: int = 3, features: int = 5) -> Tensor:
    """Inputs of shape (N, features) from a seed."""
    return torch.randn(examples, features, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def images(size: int, seed: int, examples: int = 4) -> Tensor:
    """Images of two channels from a seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(examples, 2, size, size, dtype=DOUBLE, generator=generator)
