"""From the options to the arguments of each method: everything is checked before the model runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pellucid
from pellucid import MethodInfo
from pellucid.cli._failures import Refusal
from pellucid.metrics import METRICS

DEFAULT_METHODS = ("integrated_gradients",)
OWN_OPTIONS = {"inputs": "DATA", "target": "--target", "baselines": "--baseline or --baselines", "n_steps": "--n-steps"}
OWN_OPTIONS |= {"seed": "--seed", "method": "--method"}


@dataclass(frozen=True)
class Given:
    """Arguments from the command line that go to every method that takes them.

    Attributes:
        baseline: ``--baseline``: a number or a tensor.
        baselines: ``--baselines``: rows to draw from.
        n_steps: ``--n-steps``.
        seed: ``--seed``.
        settings: ``--set``, by method (None for all) and name.
        brings_baseline: Whether the examples have a baseline of their own, as texts do.
        judged: Whether metrics use the baseline too.
    """

    baseline: Any = None
    baselines: Any = None
    n_steps: int | str | None = None
    seed: int | None = None
    settings: dict[tuple[str | None, str], Any] = field(default_factory=dict)
    brings_baseline: bool = False
    judged: bool = False


def chosen_methods(names: Sequence[str]) -> list[MethodInfo]:
    """Look the methods up, each once, in the order given.

    Raises:
        Refusal: There is no such method.
    """
    known = {info.name: info for info in pellucid.methods()}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise Refusal(f"--method is {name!r}, which does not exist.{hint} There are: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names or DEFAULT_METHODS)]


def check_metrics(names: Sequence[str]) -> None:
    """Refuse metrics that there are not, and those that need what the command line cannot give.

    Raises:
        Refusal: One of them cannot be computed here.
    """
    for name in names:
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, 1, 0.5)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise Refusal(f"--metric is {name!r}, which does not exist.{hint} There are: {', '.join(METRICS)}.")
        if "ground_truth" in METRICS[name].needs:
            raise Refusal(
                f"--metric {name} needs to know where the evidence is. Call pellucid.compare with ground_truth."
            )


def plan(infos: Sequence[MethodInfo], given: Given) -> list[tuple[MethodInfo, dict[str, Any]]]:
    """Give each method the arguments that it takes.

    Raises:
        Refusal: An option fits no chosen method, or a method lacks what it needs.
    """
    for scope, key in given.settings:
        if key in OWN_OPTIONS:
            raise Refusal(f"--set {key}=... has an option of its own: {OWN_OPTIONS[key]}.")
        if scope is not None and scope not in {info.name for info in infos}:
            raise Refusal(f"--set {scope}.{key}=... names {scope!r}, which is no chosen method.")
    plans = [(info, _arguments(info, given)) for info in infos]
    _refuse_unused(infos, given)
    return plans


def _arguments(info: MethodInfo, given: Given) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if info.takes("baselines"):
        needs_rows = info.attribution.takes_distribution
        baseline = given.baselines if needs_rows and given.baselines is not None else given.baseline
        if baseline is not None:
            arguments["baselines"] = baseline
        elif needs_rows and not given.brings_baseline:
            raise Refusal(
                f"{info.name} starts from rows drawn at random. Pass --baselines FILE with such rows, or --baseline "
                "NUMBER to start from one."
            )
    for name, value in (("n_steps", given.n_steps), ("seed", given.seed)):
        if value is not None and info.takes(name):
            arguments[name] = value
    for scope, key in given.settings:
        if scope == info.name and not info.takes(key):
            known = ", ".join(sorted((set(info.parameters) | set(info.defaults)) - {"kwargs", *OWN_OPTIONS}))
            raise Refusal(f"--set {scope}.{key}=...: {info.name} has no such argument. It takes: {known}.")
        if scope in {None, info.name} and info.takes(key):
            arguments[key] = given.settings.get((info.name, key), given.settings[scope, key])
    return arguments


def _refuse_unused(infos: Sequence[MethodInfo], given: Given) -> None:
    """An option that no chosen method takes would be forgotten in silence."""
    chosen = ", ".join(info.name for info in infos)
    rows = [info for info in infos if info.takes("baselines")]
    if given.baselines is not None and not any(info.attribution.takes_distribution for info in rows):
        raise Refusal(f"--baselines is for methods that draw rows, such as gradient_shap; chosen: {chosen}.")
    if given.baseline is not None and not rows and not given.judged:
        raise Refusal(f"--baseline is given, but no chosen method has a baseline: {chosen}.")
    if given.n_steps is not None and not any(info.takes("n_steps") for info in infos):
        raise Refusal(f"--n-steps is given, but no chosen method takes steps: {chosen}.")
    for scope, key in given.settings:
        if scope is None and not any(info.takes(key) for info in infos):
            raise Refusal(f"--set {key}=...: no chosen method has such an argument ({chosen}).")
