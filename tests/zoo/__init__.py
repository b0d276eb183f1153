"""Unmodified models of many families, the ground on which the rule engine is proven."""

from . import (
    algebra,
    attention,
    hugging_face_sequences,
    hugging_face_signals,
    hugging_face_text,
    nets,
    other,
    programs,
    recurrent,
)
from .entry import Case, ZooModel

ZOO: dict[str, ZooModel] = {
    model.name: model
    for module in (
        nets,
        attention,
        recurrent,
        other,
        algebra,
        programs,
        hugging_face_text,
        hugging_face_sequences,
        hugging_face_signals,
    )
    for model in module.ENTRIES
}

__all__ = ["ZOO", "Case", "ZooModel"]
