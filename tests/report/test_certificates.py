"""Certificates on the report page: readable, complete, and never more than what holds."""

import torch

import pellucid
from pellucid.report import render_report, subject_of, verdict_of
from pellucid.report._certificate import certificate_view
from pellucid.rules import Certificate, OperationReport


def explained(method, model, **arguments):
    return pellucid.explain(model, torch.tensor([[1.0, -2.0], [0.5, 3.0]]), method=method, **arguments)


def test_an_exact_certificate_says_so():
    view = certificate_view(explained("deep_lift", lambda v: torch.relu(v).prod(1)).certificate)
    assert view.level == "good"
    assert "exact rule" in view.guarantee
    assert not view.gaps
    assert {row.rule for row in view.rows} >= {"rescale"}


def test_methods_without_a_sum_promise_none():
    view = certificate_view(explained("guided_backprop", lambda v: torch.relu(v).sum(1)).certificate)
    assert "promise no sum" in view.guarantee


def test_relevance_is_judged_by_what_was_absorbed():
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 1.0]]))
        layer.bias.fill_(2.0)
    x = torch.tensor([[1.0, 1.0]])
    half = verdict_of(pellucid.explain(layer, x, method="lrp"), 0)
    assert half.level == "fair"
    assert "50" in half.text
    whole = verdict_of(pellucid.explain(torch.nn.Linear(2, 1, bias=False), x, method="lrp"), 0)
    assert whole.level == "good"
    assert "absorb" in certificate_view(pellucid.explain(layer, x, method="lrp").certificate).guarantee


def test_gaps_are_named():
    rows = (OperationReport("relu", "rescale", 2, "model.py:3 in forward"),)
    view = certificate_view(Certificate("DeepLIFT (rescale)", rows, ("a switch",), ("odd at line 4",), (), 0.25))
    assert view.level == "fair"
    assert "25.0%" in view.guarantee
    assert view.gaps[0] == "a switch"
    assert "odd at line 4" in view.gaps[1]


def test_the_page_shows_it_escaped():
    def hostile(v):
        return torch.relu(v).sum(1)

    hostile.__code__ = hostile.__code__.replace(co_name="<script>alert(1)</script>", co_qualname="x")
    explanation = explained("deep_lift", hostile)
    assert any("<script>" in row.line for row in explanation.certificate.operations)
    page = render_report([explanation], subject_of(explanation))
    assert "Certificates" in page
    assert "Line by line" in page
    assert "<script>alert(1)" not in page


def test_no_section_without_rules():
    explanation = explained("saliency", lambda v: (v**2).sum(1))
    assert "Certificates" not in explanation.to_html()
