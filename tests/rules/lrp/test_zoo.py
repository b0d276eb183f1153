"""On every model of the zoo the books close, and keeping them changes nothing."""

import pytest
import torch

from pellucid._core.rules import relevances
from pellucid._core.rules.lrp_composites import CPLRP, AttnLRP, EpsilonAlpha2Beta1
from tests.zoo import ZOO

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
MODELS = {name: model for name, model in ZOO.items() if not model.opaque}
COMPOSITES = [CPLRP(1e-9), AttnLRP(1e-9), EpsilonAlpha2Beta1()]


@pytest.mark.parametrize("name", MODELS)
def test_books_close(name):
    model = MODELS[name]
    composite = COMPOSITES[sum(map(ord, name)) % len(COMPOSITES)]
    case = model.case(torch.float64)
    found = relevances(case.forward, case.inputs, case.select, composite, audit=True)
    plain = relevances(case.forward, case.inputs, case.select, composite)
    books = found.audit
    scale = max(abs(books.explained), abs(books.attributed), *(abs(row.amount) for row in books.rows))
    assert abs(books.elsewhere) <= (1e-5 if model.float32_islands else 1e-10) * scale
    tolerance = 1e-5 if model.float32_islands else 1e-9
    for one, other in zip(found.relevances, plain.relevances, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * scale)
