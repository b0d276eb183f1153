"""Attacks: robust accuracy of the ensemble beside plain PGD, and time of FGSM and PGD beside Captum.

Run with ``python -m benchmarks.robust [--rounds N]``. Accuracies are of a small CNN trained on the bundled scans of
digits, of the same CNN trained on PGD's points, and of two disguises of the plain one that hide its gradient. Times are
ratios of CPU seconds: below 1.0 means faster than Captum, or close to the bare gradient evaluations.
"""

from __future__ import annotations

import argparse
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import interleaved
from benchmarks.models import CASES
from pellucid.robust import FGSM, PGD, RobustnessEvaluator

EXAMPLES, STEPS = 200, 40
LOSS = nn.CrossEntropyLoss(reduction="none")
RADII = {"Linf": 0.15, "L2": 0.5, "L1": 1.5}


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images of 8 x 8 in [0, 1]: 1,500 to train with, the rest to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return x[:1500], y[:1500], x[1500:], y[1500:]


def trained(x: Tensor, y: Tensor, hardened: bool) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(32 * 9, 10))
    attack = PGD(model, None, 0.0, 1.0)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(20):
        for rows in torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch)).split(100):
            batch, labels = x[rows], y[rows]
            if hardened:
                batch = attack.perturb(batch, 0.15, 0.05, 5, labels, random_start=True, seed=epoch)
            loss = F.cross_entropy(model(batch), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


class Disguised(nn.Module):
    """The same predictions, with a gradient that is hidden: by rounding the inputs, or by confidence."""

    def __init__(self, model: nn.Module, how: str) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, x: Tensor) -> Tensor:
        """Predict in disguise."""
        if self.how == "rounded":
            return self.model((x * 32).round() / 32)
        return (1e4 * self.model(x)).softmax(1)


def plain_pgd(model: nn.Module, x: Tensor, y: Tensor, norm: str) -> float:
    """Accuracy under Captum's PGD at its defaults: cross-entropy by the usual recipe, one run."""
    import captum.robust

    radius = RADII[norm]
    attack = captum.robust.PGD(model, LOSS, 0.0, 1.0)
    found = attack.perturb(x, radius, radius / 10, STEPS, y, norm=norm)
    return float((model(found).argmax(1) == y).float().mean())


def accuracy_table() -> None:
    x, y, test_x, test_y = digits()
    test_x, test_y = test_x[:EXAMPLES], test_y[:EXAMPLES]
    plain, hardened = trained(x, y, False), trained(x, y, True)
    models = {
        "CNN": plain,
        "CNN trained on PGD": hardened,
        "CNN, inputs rounded": Disguised(plain, "rounded"),
        "CNN, saturated softmax": Disguised(plain, "saturated"),
    }
    heads = f"{'clean':>6} {'plain PGD':>10} {'our PGD':>8} {'ensemble':>9} {'interval':>16}"
    print(f"\n{'accuracy':24} {'norm':5} {heads}  flags")
    for name, model in models.items():
        for norm, radius in RADII.items():
            found = RobustnessEvaluator(model, 0.0, 1.0).evaluate(
                test_x, test_y, radius, norm=norm, seed=0, n_queries=1000
            )
            theirs = f"{plain_pgd(model, test_x, test_y, norm):10.3f}" if norm != "L1" else f"{'-':>10}"
            moved = PGD(model, None, 0.0, 1.0).perturb(
                test_x, radius, radius / 10, STEPS, test_y, norm=norm, normalized=True
            )
            ours = float((model(moved).argmax(1) == test_y).float().mean())
            low, high = found.interval
            flags = ", ".join(f.name for f in found.flags) or "-"
            print(
                f"{name:24} {norm:5} {found.accuracy:6.3f} {theirs} {ours:8.3f} {found.robust_accuracy:9.3f}"
                f"   {low:.3f} to {high:.3f}  {flags}"
            )


def bare(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    """The gradient evaluations that the attack needs, and nothing else."""
    for _ in range(steps):
        x = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(model(x), y), x)


def time_table(rounds: int) -> None:
    import captum.robust

    print(f"\n{'time':28} {'FGSM/Captum':>12} {'FGSM/bare':>10} {'PGD/Captum':>11} {'PGD/bare':>9}")
    for name, (build, shape) in CASES.items():
        model, x, y = build(), torch.rand(shape), torch.zeros(shape[0], dtype=torch.long)
        calls = {
            "fgsm": lambda m=model, v=x, t=y: FGSM(m).perturb(v, 0.1, t),
            "their fgsm": lambda m=model, v=x, t=y: captum.robust.FGSM(m, LOSS).perturb(v, 0.1, t),
            "bare": lambda m=model, v=x, t=y: bare(m, v, t, 1),
            "pgd": lambda m=model, v=x, t=y: PGD(m).perturb(v, 0.1, 0.02, 10, t),
            "their pgd": lambda m=model, v=x, t=y: captum.robust.PGD(m, LOSS).perturb(v, 0.1, 0.02, 10, t),
            "bare 10": lambda m=model, v=x, t=y: bare(m, v, t, 10),
        }
        s = interleaved(calls, rounds)
        print(
            f"{name:28} {s['fgsm'] / s['their fgsm']:12.2f} {s['fgsm'] / s['bare']:10.2f}"
            f" {s['pgd'] / s['their pgd']:11.2f} {s['pgd'] / s['bare 10']:9.2f}"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    time_table(arguments.rounds)
    accuracy_table()


if __name__ == "__main__":
    main()
