"""A certificate for a person: what was guaranteed, what was not, and what each operation got."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pellucid._core.checks import accept_instance
from pellucid.rules import Certificate

_MEANINGS = {
    "linear": "passes everything on unchanged",
    "gradient": "keeps its own gradient",
    "rescale": "shares its change in proportion to the change of its input",
    "reveal-cancel": "shares positive and negative contributions apart",
    "product": "shares its change between its factors, exactly",
    "expanded": "written in simpler operations, each with its own rule",
    "decision": "a comparison or choice; it carries no value",
    "constant": "taken as a constant",
    "seen through": "a cut of the gradient that was looked through",
    "path integral": "integrated along the path from reference to input",
    "secant of a convex function": "shares its change by slopes between reference and input, exactly",
    "softmax, by logarithmic means": "shares its change in closed form, exactly",
    "normalisation": "shares its change in closed form, exactly",
    "order statistic, exact path integral": "integrated exactly, piece by piece",
    "recurrent layer, closed form": "all its steps in closed form, exactly",
    "guided backpropagation": "lets positive gradients through where it is active",
    "deconvolution": "lets positive gradients through",
    "epsilon": "shares relevance by contributions",
    "identity": "passes relevance on",
}
_COMPLETE = "DeepLIFT"
_RELEVANCE = "relevance"


@dataclass(frozen=True)
class CertificateRow:
    """One rule with the operations that got it."""

    rule: str
    meaning: str
    operations: str
    calls: int


@dataclass(frozen=True)
class CertificateView:
    """A certificate as a page shows it."""

    level: str
    guarantee: str
    gaps: list[str]
    notices: list[str]
    rows: list[CertificateRow]
    lines: list[tuple[str, str, int, str]]


def certificate_view(certificate: Certificate | None) -> CertificateView | None:
    """Put a certificate into words; ``None`` for methods without rules."""
    if certificate is None:
        return None
    accept_instance("certificate", certificate, Certificate, "that of an explanation by rules, or None")
    integrated = (f"{name}: no rule of its own, integrated along the path" for name in certificate.unknown)
    gaps = [*certificate.switches, *integrated]
    by_rule: dict[str, Counter[str]] = {}
    for row in certificate.operations:
        by_rule.setdefault(row.rule, Counter())[row.operation] += row.calls
    rows = [
        CertificateRow(
            rule,
            _MEANINGS.get(rule, ""),
            ", ".join(name if n == 1 else f"{name} \N{MULTIPLICATION SIGN} {n}" for name, n in counts.most_common()),
            counts.total(),
        )
        for rule, counts in sorted(by_rule.items(), key=lambda item: -item[1].total())
    ]
    return CertificateView(
        level="fair" if gaps else "good",
        guarantee=_guarantee(certificate, gaps),
        gaps=gaps,
        notices=list(certificate.notices),
        rows=rows,
        lines=[(row.operation, row.rule, row.calls, row.line) for row in certificate.operations],
    )


def _guarantee(certificate: Certificate, gaps: list[str]) -> str:
    calls = sum(row.calls for row in certificate.operations)
    if certificate.method.startswith(_RELEVANCE):
        return (
            f"All {calls} operations between input and output were seen. Relevance sums to the output, less what"
            " biases, epsilons and gates absorb."
        )
    if not certificate.method.startswith(_COMPLETE):
        return (
            f"All {calls} operations between input and output were seen. The rules of {certificate.method} stand in for"
            " some gradients; such values promise no sum."
        )
    if not gaps:
        return (
            f"Each of the {calls} operations between input and output had an exact rule, so the values sum to the"
            " difference of outputs, up to rounding."
        )
    return (
        f"All {calls} operations between input and output were seen, but not all could be attributed exactly; a share"
        f" of {certificate.lost:.1%} was distributed by a generic rule. What is missing stands below."
    )
