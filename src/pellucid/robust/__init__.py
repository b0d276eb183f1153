"""Attacks: how easily a prediction turns."""

from pellucid.robust.apgd import APGD
from pellucid.robust.comparator import AttackComparator
from pellucid.robust.evaluator import RobustnessEvaluator
from pellucid.robust.fab import FAB, MinimalPerturbation
from pellucid.robust.fgsm import FGSM
from pellucid.robust.min_param import MinParamPerturbation
from pellucid.robust.perturbation import Perturbation
from pellucid.robust.pgd import PGD
from pellucid.robust.result import AttackOutcome, RobustnessFlag, RobustnessResult, wilson_interval
from pellucid.robust.square import Square

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "PGD",
    "AttackComparator",
    "AttackOutcome",
    "MinParamPerturbation",
    "MinimalPerturbation",
    "Perturbation",
    "RobustnessEvaluator",
    "RobustnessFlag",
    "RobustnessResult",
    "Square",
    "wilson_interval",
]
