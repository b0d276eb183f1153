"""Unmodified models of many families, the ground on which the rule engine is proven."""

from . import attention, nets, other, recurrent
from .entry import Case, ZooModel

ZOO: dict[str, ZooModel] = {
    model.name: model for module in (nets, attention, recurrent, other) for model in module.ENTRIES
}

__all__ = ["ZOO", "Case", "ZooModel"]
