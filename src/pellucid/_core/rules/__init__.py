"""The operation-level rule engine: gradients of any PyTorch model, with rules in place of operations' own.

The orthogonal pieces: an *operation* is what torch was asked to do (operation.py, vocabulary.py,
decisions.py); a *rule* says how multipliers go back through one recorded call (table.py, call.py); a *table*
says which operation gets which rule, and is all that tells one method from another (deeplift_tables.py,
guided.py, lrp_table.py); the *pass* runs a model under a table (mode.py) and refuses what it cannot see
(provenance.py, refusals.py); two passes are paired by position (tape.py, switches.py); the *certificate*
tells what the result rests on (certificate.py). `api` puts them together; registry.py is for the user's own.

Example:
    >>> import torch
    >>> x, start = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 1.0]])
    >>> result = deep_lift_gradients(lambda z: torch.relu(z.prod(1)), (x,), (start,), lambda y: y)
    >>> attributions = result.multipliers[0] * (x - start)
    >>> attributions.sum().item(), (result.outputs - result.reference_outputs).item()
    (-1.0, -1.0)
"""

from pellucid._core.rules.api import (
    NO_CHOICES,
    Choices,
    Gradients,
    Multipliers,
    deep_lift_gradients,
    deep_lift_of_each,
    modified_gradients,
    modified_gradients_of_each,
)
from pellucid._core.rules.certificate import Certificate, OperationReport
from pellucid._core.rules.guided import DECONVOLUTION, GUIDED
from pellucid._core.rules.lrp import Relevances, relevances
from pellucid._core.rules.lrp_audit import Absorbed, Audit
from pellucid._core.rules.lrp_choice import ModuleRules, RuleChoice
from pellucid._core.rules.lrp_composites import (
    CPLRP,
    Assign,
    AttnLRP,
    Composite,
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlus,
)
from pellucid._core.rules.lrp_named import Alpha1_Beta0_Rule, EpsilonRule, GammaRule, IdentityRule
from pellucid._core.rules.lrp_rules import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    Norm,
    Pass,
    PropagationRule,
    WSquare,
    ZBox,
    ZPlus,
)
from pellucid._core.rules.registry import by_module, visible
from pellucid._core.rules.table import NATIVE, STOP, Occurrence, Rule, RuleTable

__all__ = [
    "CPLRP",
    "DECONVOLUTION",
    "GUIDED",
    "NATIVE",
    "NO_CHOICES",
    "STOP",
    "Absorbed",
    "Alpha1_Beta0_Rule",
    "AlphaBeta",
    "Assign",
    "AttnLRP",
    "Audit",
    "Certificate",
    "Choices",
    "Composite",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonRule",
    "Flat",
    "Gamma",
    "GammaRule",
    "Gradients",
    "IdentityRule",
    "ModuleRules",
    "Multipliers",
    "Norm",
    "Occurrence",
    "OperationReport",
    "Pass",
    "PropagationRule",
    "Relevances",
    "Rule",
    "RuleChoice",
    "RuleTable",
    "WSquare",
    "ZBox",
    "ZPlus",
    "by_module",
    "deep_lift_gradients",
    "deep_lift_of_each",
    "modified_gradients",
    "modified_gradients_of_each",
    "relevances",
    "visible",
]
