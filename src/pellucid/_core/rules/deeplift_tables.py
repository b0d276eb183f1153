"""The rule tables of DeepLIFT: which operation gets which rule."""

from __future__ import annotations

from dataclasses import replace

from pellucid._core.checks import accept_choice
from pellucid._core.rules.attention import ATTENTION
from pellucid._core.rules.carry import Pullback
from pellucid._core.rules.deeplift import PRODUCT, RESCALE, SECANT
from pellucid._core.rules.expansions import ARITHMETIC
from pellucid._core.rules.normalisation import NORMALISATIONS
from pellucid._core.rules.order import ORDER
from pellucid._core.rules.path import PATH
from pellucid._core.rules.pooling import MAX_POOLINGS
from pellucid._core.rules.recurrent import RECURRENT, cell_step, unrolled_when_random
from pellucid._core.rules.recurrent_cells import CELLS
from pellucid._core.rules.revealcancel import REVEAL_CANCEL
from pellucid._core.rules.softmax import SOFTMAX
from pellucid._core.rules.table import Occurrence, Rule, RuleTable
from pellucid._core.rules.vocabulary import Kind
from pellucid.errors import UnsupportedModelError


def _refuse(occurrence: Occurrence) -> Pullback:
    call = occurrence.call
    raise UnsupportedModelError(
        f"'{call.name}' at {call.line} is in no table, and strict=True refuses the generic rule. Pass a "
        f"rule for it, rules={{'{call.name}': rule}}, or strict=False."
    )


RESCALE_TABLE = RuleTable(
    name="DeepLIFT (rescale)",
    kinds={
        Kind.UNARY: RESCALE,
        Kind.PRODUCT: PRODUCT,
        Kind.SOFTMAX: SOFTMAX,
        Kind.CONVEX: SECANT,
        Kind.ORDER: ORDER,
    },
    names={**NORMALISATIONS, **MAX_POOLINGS, **dict.fromkeys(CELLS, RECURRENT)},
    expansions={
        **ARITHMETIC,
        **{name: unrolled_when_random(name) for name in CELLS},
        **{f"{name}_cell": cell_step(name) for name in CELLS},
    },
    closed={"scaled_dot_product_attention": ATTENTION},
    region=RESCALE,
    fallback=PATH,
    paired=True,
    through_cuts=True,
)


REVEAL_CANCEL_TABLE = replace(
    RESCALE_TABLE,
    name="DeepLIFT (reveal-cancel)",
    kinds={**RESCALE_TABLE.kinds, Kind.UNARY: REVEAL_CANCEL},
    region=REVEAL_CANCEL,
    tracks_sums=True,
)


def deep_lift_table(rule: str, *, strict: bool = False) -> RuleTable:
    """Return the table of a named rule."""
    tables = {"rescale": RESCALE_TABLE, "reveal_cancel": REVEAL_CANCEL_TABLE}
    table = tables[accept_choice("rule", rule, tables, "it names no rule of DeepLIFT")]
    return table if not strict else replace(table, fallback=Rule("refused", _refuse))
