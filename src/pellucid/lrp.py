"""Rules and composites of relevance propagation, for ``pellucid.attr.LRP``.

A *rule* says how a layer hands relevance on; a *composite* says which layer gets which rule. Rules under their
established names: ``EpsilonRule``, ``GammaRule``, ``Alpha1_Beta0_Rule``, ``IdentityRule``; the wider set of the
literature: ``Epsilon``, ``Gamma``, ``ZPlus``, ``AlphaBeta``, ``ZBox``, ``WSquare``, ``Flat``, ``Norm``, ``Pass``.
Composites: ``EpsilonPlus``, ``EpsilonAlpha2Beta1``, ``EpsilonGammaBox``, ``AttnLRP``, ``CPLRP``, or your own list of
``Assign`` lines.

Example:
    >>> import torch
    >>> from pellucid.attr import LRP
    >>> from pellucid.lrp import Assign, Composite, Epsilon, ZPlus
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> mine = Composite("mine", (Assign(ZPlus(), "dense", module="0"), Assign(Epsilon(1e-3), "dense")))
    >>> LRP(model).attribute(torch.ones(1, 3), target=1, composite=mine).shape
    torch.Size([1, 3])
    >>> model[0].rule = ZPlus()  # the same, kept on the model
    >>> LRP(model).attribute(torch.ones(1, 3), target=1).shape
    torch.Size([1, 3])
"""

from pellucid._core.rules import (
    CPLRP,
    Absorbed,
    Alpha1_Beta0_Rule,
    AlphaBeta,
    Assign,
    AttnLRP,
    Audit,
    Composite,
    Epsilon,
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonRule,
    Flat,
    Gamma,
    GammaRule,
    IdentityRule,
    Norm,
    Pass,
    PropagationRule,
    WSquare,
    ZBox,
    ZPlus,
)

EPSILON = Composite("epsilon", (Assign(EpsilonRule()),))
"""The default: the epsilon rule with 1e-9 in every layer."""

__all__ = [
    "CPLRP",
    "EPSILON",
    "Absorbed",
    "Alpha1_Beta0_Rule",
    "AlphaBeta",
    "Assign",
    "AttnLRP",
    "Audit",
    "Composite",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonRule",
    "Flat",
    "Gamma",
    "GammaRule",
    "IdentityRule",
    "Norm",
    "Pass",
    "PropagationRule",
    "WSquare",
    "ZBox",
    "ZPlus",
]
