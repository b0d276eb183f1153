"""The certificate names every operation with its rule and line, and can be stored as JSON."""

import json

import torch
import torch.nn.functional as F

from pellucid._core.output import accept_target, select
from pellucid._core.rules import vocabulary

from .asking import lifted


def model(x):
    h = F.relu(x @ torch.ones(5, 4))
    return h.softmax(1) * h


def test_operations_rules_and_lines():
    _, result = lifted(model, torch.randn(3, 5))
    rows = {row.operation: row for row in result.certificate.operations}
    assert rows["relu"].rule == "rescale"
    assert rows["softmax"].rule == "softmax, by logarithmic means"
    assert rows["mul"].rule == "product"
    assert "test_certificate.py" in rows["relu"].line
    assert rows["relu"].line.endswith("in model")
    assert result.certificate.count("rescale") == 1


def test_what_chooses_the_output_is_no_line_of_the_users():
    """The operations of the target's own selection are told apart from those of the model."""
    target = accept_target((1, slice(0, 2)), 3)
    _, result = lifted(lambda x: x.exp().reshape(3, 2, 4), torch.randn(3, 8), select=lambda y: select(y, target))
    lines = {row.operation: row.line for row in result.certificate.operations}
    assert "test_certificate.py" in lines["exp"]
    assert lines["sum"] == "the selection of the target"


def test_plain_data_and_text():
    _, result = lifted(torch.linalg.det, torch.randn(2, 3, 3), select=lambda y: y)
    stored = json.loads(json.dumps(result.certificate.to_dict()))
    assert stored["unknown"] == list(result.certificate.unknown)
    assert stored["operations"][0]["calls"] >= 1
    text = str(result.certificate)
    assert "linalg_det" in text
    assert "path integral" in text


def test_share_of_completeness_lost():
    """A jump in an unknown operation is distributed, and its size is told."""
    _, result = lifted(lambda x: torch.linalg.eigvalsh(x + x.mT), torch.randn(2, 3, 3))
    assert 0 <= result.certificate.lost < 1
    assert result.certificate.unknown


def test_sets_of_the_vocabulary_are_disjoint():
    sets = [
        vocabulary.INERT,
        vocabulary.LINEAR,
        vocabulary.UNARY,
        vocabulary.PRODUCT,
        vocabulary.SOFTMAX,
        vocabulary.CONVEX,
        vocabulary.ORDER,
        vocabulary.COMPARE,
        vocabulary.DETACH,
        vocabulary.ESCAPE,
        vocabulary.REFUSED,
    ]
    assert sum(map(len, sets)) == len(vocabulary.KINDS)
