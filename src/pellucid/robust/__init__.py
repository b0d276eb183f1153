"""Attacks: how easily a prediction turns."""

from pellucid.robust.apgd import APGD
from pellucid.robust.fgsm import FGSM
from pellucid.robust.perturbation import Perturbation
from pellucid.robust.pgd import PGD

__all__ = ["APGD", "FGSM", "PGD", "Perturbation"]
