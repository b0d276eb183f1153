"""Measures of the quality of explanations: does one deserve trust?

Each function returns one score per example, or a small result that holds a curve beside its score. ``METRICS``
lists them with their ranges and directions; ``pellucid.compare`` runs several on several methods.
"""

from pellucid.metrics._completeness import completeness
from pellucid.metrics._concentration import complexity, sparseness
from pellucid.metrics._correlation import faithfulness_correlation, sensitivity_n
from pellucid.metrics._curve import Curve
from pellucid.metrics._infidelity import infidelity, infidelity_perturb_func_decorator
from pellucid.metrics._localisation import pointing_game, relevance_mass_accuracy, relevance_rank_accuracy
from pellucid.metrics._randomisation import Randomisation, parameter_randomisation, random_logit
from pellucid.metrics._registry import METRICS, MetricInfo, Setting, metric_named
from pellucid.metrics._removal import comprehensiveness, deletion, effective_complexity, insertion, sufficiency
from pellucid.metrics._road import road
from pellucid.metrics._stability import default_perturb_func, local_lipschitz, sensitivity_max

__all__ = [
    "METRICS",
    "Curve",
    "MetricInfo",
    "Randomisation",
    "Setting",
    "completeness",
    "complexity",
    "comprehensiveness",
    "default_perturb_func",
    "deletion",
    "effective_complexity",
    "faithfulness_correlation",
    "infidelity",
    "infidelity_perturb_func_decorator",
    "insertion",
    "local_lipschitz",
    "metric_named",
    "parameter_randomisation",
    "pointing_game",
    "random_logit",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "road",
    "sensitivity_max",
    "sensitivity_n",
    "sparseness",
    "sufficiency",
]
