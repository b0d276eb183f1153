"""KernelSHAP, LIME and Owen values: accuracy at equal budgets, coverage of intervals, time against Captum.

Run with ``python -m benchmarks.shapley [--games N] [--rounds N]``. Errors are mean squared errors relative to the
spread of each game's Shapley values, as ratios to plain paired leverage-score sampling (``tests/reference``); times
are ratios of CPU seconds, Captum's over ours, at equal numbers of samples and otherwise default arguments.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

import pellucid
from benchmarks.measure import interleaved
from benchmarks.perturbation import small_cnn, small_mlp, squares
from pellucid.attr import KernelShap, Lime, ShapleyValueSampling
from tests.reference.regressions import independent_game, leverage_estimate, network_game, shapley_of


def game_model(values: Tensor) -> Callable[[Tensor], Tensor]:
    """A function of zeros and ones that looks up the value of a coalition."""
    power = 1 << torch.arange(len(values).bit_length() - 1)
    return lambda v: values[(v > 0.5).long() @ power]


def accuracy(games: int) -> None:
    """Squared errors of the estimators at 8 and 20 rows a player."""
    import captum.attr

    print(f"{'squared error / leverage scores':36} {'KernelShap':>10} {'orders':>8} {'Captum':>8}")
    for game in (network_game, independent_game):
        for rows in (8, 20):
            sums = {"ours": 0.0, "orders": 0.0, "captum": 0.0, "leverage": 0.0}
            for seed in range(games):
                players = 10 + seed % 5
                values = game(players, 1000 + seed)
                exact, model, ones = shapley_of(values), game_model(values), torch.ones(1, players).double()
                budget = rows * players
                torch.manual_seed(seed)
                found = {
                    "ours": KernelShap(model).attribute(ones, n_samples=budget, seed=seed),
                    "orders": ShapleyValueSampling(model).attribute(
                        ones, n_samples=max(2, 2 * (budget // (2 * players))), seed=seed
                    ),
                    "captum": captum.attr.KernelShap(model).attribute(ones, n_samples=budget),
                    "leverage": leverage_estimate(values, budget, torch.Generator().manual_seed(seed)),
                }
                for name, value in found.items():
                    sums[name] += float((value - exact).square().mean() / exact.var())
            ratio = {name: value / sums["leverage"] for name, value in sums.items()}
            title = f"{game.__name__.replace('_', ' ')}s, {rows} rows a player"
            print(f"{title:36} {ratio['ours']:10.2f} {ratio['orders']:8.2f} {ratio['captum']:8.2f}")


def coverage(games: int) -> None:
    """How often 90 % intervals hold the truth at the default budget."""
    print(f"\n{'coverage of 90 % intervals':36} {'KernelShap':>10} {'orders':>8}")
    quantile = {KernelShap: 1.645, ShapleyValueSampling: 1.782}  # t with 12 degrees of freedom for 13 pairs of orders
    for game in (network_game, independent_game):
        shares = []
        for method, width in quantile.items():
            covered = total = 0
            for seed in range(games):
                players = 10 + seed % 5
                values = game(players, 3000 + seed)
                exact = shapley_of(values)
                with pellucid.recording() as report:
                    found = method(game_model(values)).attribute(torch.ones(1, players).double(), seed=seed)
                covered += int(((found[0] - exact).abs() <= width * report.standard_error[0][0]).sum())
                total += players
            shares.append(covered / total)
        print(f"{game.__name__.replace('_', ' ') + 's':36} {shares[0]:10.3f} {shares[1]:8.3f}")


def speed(rounds: int) -> None:
    """CPU time against Captum, batch of one."""
    import captum.attr

    cases = {
        "small MLP, 20 features": (small_mlp(), torch.randn(1, 20), None),
        "small CNN, 3x16x16, 16 segments": (small_cnn(), torch.randn(1, 3, 16, 16), squares(16, 4)),
    }
    print(f"\n{'times faster than Captum':36} {'samples':>8} {'KernelShap':>10} {'Lime':>8}")
    for name, (model, x, mask) in cases.items():
        for samples in (25, 100, 250, 500, 1000):
            arguments = {"target": 0, "n_samples": samples, "feature_mask": mask}
            methods = {
                "ours": KernelShap(model),
                "theirs": captum.attr.KernelShap(model),
                "our lime": Lime(model),
                "their lime": captum.attr.Lime(model),
            }
            functions = {k: functools.partial(m.attribute, x, **arguments) for k, m in methods.items()}
            seconds = interleaved(functions, rounds)
            ratios = seconds["theirs"] / seconds["ours"], seconds["their lime"] / seconds["our lime"]
            print(f"{name:36} {samples:8} {ratios[0]:10.1f} {ratios[1]:8.1f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    speed(arguments.rounds)
    accuracy(arguments.games)
    coverage(arguments.games)


if __name__ == "__main__":
    main()
