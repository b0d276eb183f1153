"""What the methods share that play a game between features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pellucid._core.door import accept_baselines, accept_optional_count
from pellucid._core.game import Game, playing
from pellucid._core.masks import Features, accept_features
from pellucid._core.progress import progress
from pellucid._core.site import Question


@dataclass(frozen=True)
class GameSetup:
    """A game that has been checked and not begun.

    Attributes:
        question: what is asked.
        baselines: one per input, with 1 or N rows.
        features: the players.
        cap: coalitions of the whole batch per forward pass at most.
    """

    question: Question
    baselines: tuple[Tensor, ...]
    features: Features
    cap: int | None

    @contextmanager
    def play(self, name: str, show_progress: bool, coalitions: int | None) -> Iterator[Game]:
        """Borrow the model and play.

        Args:
            name: the method's name, for the progress bar.
            show_progress: whether there is one.
            coalitions: how many will be evaluated, if that is known.

        Yields:
            The game.
        """
        rows = None if coalitions is None else coalitions * self.question.site.examples
        with (
            progress(show_progress, name, rows) as bar,
            playing(self.question, self.baselines, self.features, self.cap, bar) as game,
        ):
            yield game


def accept_game(
    question: Question, baselines: Any, feature_mask: Any, share_ids: bool, perturbations_per_eval: Any
) -> GameSetup:
    """Check the arguments that make a question a game; ``question`` allows any values."""
    inputs, template = question.inputs, question.template
    return GameSetup(
        question,
        accept_baselines(baselines, inputs, template, any_values=True),
        accept_features(feature_mask, inputs, template, share_ids),
        accept_optional_count("perturbations_per_eval", perturbations_per_eval),
    )
