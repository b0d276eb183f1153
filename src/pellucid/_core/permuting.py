"""Features with the values of other examples of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense
from pellucid._core.forward import Perturbed
from pellucid._core.masks import Features, slices
from pellucid.errors import invalid_type

PermuteFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From an input and a mask, True where a feature is, to the input with the feature permuted over the batch."""


@dataclass(frozen=True)
class Permuted:
    """Inputs in which one feature has the values that other examples have.

    Attributes:
        features: the features of the inputs.
        inputs: the inputs.
        chosen: for each sample the number of its feature.
        donors: for each sample and example, whose value it gets, shape (samples, N).
    """

    features: Features
    inputs: tuple[Tensor, ...]
    chosen: Tensor
    donors: Tensor

    @property
    def samples(self) -> int:
        """Number of permutations."""
        return len(self.chosen)

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Put donors' values in place of the feature."""
        members = torch.nn.functional.one_hot(self.chosen[samples], self.features.count).bool()
        donors = self.donors[samples][:, examples]
        return tuple(
            torch.where(
                self.features.kept(i, members.to(x.device), examples), x[donors.to(x.device)], x[examples.to(x.device)]
            )
            for i, x in enumerate(self.inputs)
        )


@dataclass(frozen=True)
class PermutedBy:
    """Inputs in which a user's function permutes one feature.

    Attributes:
        features: the features of the inputs.
        inputs: the inputs.
        chosen: for each sample the number of its feature.
        seeds: for each sample the seed of torch's default generator, which the function may draw from.
        function: permutes.
    """

    features: Features
    inputs: tuple[Tensor, ...]
    chosen: Tensor
    seeds: Tensor
    function: PermuteFunction

    @property
    def samples(self) -> int:
        """Number of permutations."""
        return len(self.chosen)

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Call the function for each sample."""
        pairs = zip(self.chosen[samples].tolist(), self.seeds[samples].tolist(), strict=True)
        rows = [self._permuted(feature, seed) for feature, seed in pairs]
        return tuple(torch.stack([row[i][examples.to(x.device)] for row in rows]) for i, x in enumerate(self.inputs))

    def _permuted(self, feature: int, seed: int) -> tuple[Tensor, ...]:
        member = torch.zeros(1, self.features.count, dtype=torch.bool)
        member[0, feature] = True
        found = []
        for i, x in enumerate(self.inputs):
            mask = self.features.kept(i, member.to(x.device), torch.arange(len(x)))[0]
            with torch.random.fork_rng([x.device] if x.is_cuda else []):
                torch.default_generator.manual_seed(seed)
                if x.is_cuda:
                    torch.cuda.default_generators[x.get_device()].manual_seed(seed)
                found.append(self._called(x, mask) if bool(mask.any()) else x)
        return tuple(found)

    def _called(self, x: Tensor, mask: Tensor) -> Tensor:
        permuted = self.function(x.clone(), mask)
        if not isinstance(permuted, Tensor) or permuted.shape != x.shape:
            shape = f" of shape {tuple(permuted.shape)}" if isinstance(permuted, Tensor) else ""
            given = f"a function that returned a {type(permuted).__name__}{shape}"
            raise invalid_type("perm_func", given, "it permutes inputs", f"one that returns shape {tuple(x.shape)}")
        return accept_dense("the result of perm_func", permuted).to(x)


def random_donors(count: int, examples: int, generator: torch.Generator) -> Tensor:
    """Draw permutations of the batch that are not the identity, shape (count, examples)."""
    donors = torch.rand(count, examples, generator=generator, dtype=torch.float64).argsort(1)
    while bool((still := (donors == torch.arange(examples)).all(1)).any()):
        again = torch.rand(int(still.sum()), examples, generator=generator, dtype=torch.float64).argsort(1)
        donors[still] = again
    return donors


class PermutationLoss:
    """What is lost when a feature is permuted: the mean over repeats, and its standard error.

    Asks for perturbed inputs slice by slice and takes in the losses in the same order, as an estimator does.
    """

    def __init__(
        self,
        features: Features,
        inputs: tuple[Tensor, ...],
        repeats: int,
        generator: torch.Generator,
        function: PermuteFunction | None,
    ) -> None:
        """Prepare; nothing is drawn yet."""
        self.features = features
        self.inputs = inputs
        self.repeats = repeats
        self.generator = generator
        self.function = function
        self._means: list[Tensor] = []
        self._errors: list[Tensor] = []

    def perturbed(self) -> Iterator[Perturbed]:
        """Ask, slice by slice, for each feature with its repeats.

        Yields:
            Perturbed inputs.
        """
        examples = len(self.inputs[0])
        width = self.repeats * (self.features.count + 8 * examples)
        for part in slices(self.features.count, width):
            chosen = torch.arange(part.start, part.stop).repeat_interleave(self.repeats)
            if self.function is None:
                donors = random_donors(len(chosen), examples, self.generator)
                yield Permuted(self.features, self.inputs, chosen, donors)
            else:
                seeds = torch.randint(2**31, (len(chosen),), generator=self.generator)
                yield PermutedBy(self.features, self.inputs, chosen, seeds, self.function)

    def add(self, lost: Tensor) -> None:
        """Take in losses, shape (samples, *value_shape)."""
        repeated = lost.reshape(len(lost) // self.repeats, self.repeats, *lost.shape[1:])
        self._means.append(repeated.mean(1))
        if self.repeats > 1:
            self._errors.append(repeated.std(1) / self.repeats**0.5)

    @property
    def mean(self) -> Tensor:
        """Mean loss of each feature, shape (features, *value_shape)."""
        return torch.cat(self._means)

    @property
    def standard_error(self) -> Tensor | None:
        """Its standard error; ``None`` without repeats."""
        return torch.cat(self._errors) if self._errors else None
