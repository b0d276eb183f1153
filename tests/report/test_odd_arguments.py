"""What reports refuse by name, and pictures and files of explanations and comparisons."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pellucid
from pellucid import report
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.models import DOUBLE, mlp

X = torch.randn(2, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
FOUND = pellucid.explain(mlp(), X, "saliency", target=0)
SUBJECT = report.subject_of(FOUND)
COMPARED = pellucid.compare(mlp(), X, ["saliency"], ["complexity"], target=0)
IMAGES = pellucid.explain(lambda v: v.square().sum((1, 2, 3)), torch.ones(1, 3, 4, 4), "saliency")


def page(**changed):
    return report.render_report([FOUND], replace(SUBJECT, **changed))


def about(**changed):
    return report.render_report([FOUND], SUBJECT, report.Run(**changed))


def section(**changed):
    return report.Section(**{"title": "a", "explanation": FOUND, **changed})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: report.render_report(FOUND, SUBJECT), InvalidTypeError, "explanations is a Explanation"),
        (lambda: report.render_report([X], SUBJECT), InvalidTypeError, r"explanations\[0\] is a Tensor"),
        (lambda: report.render_report([FOUND], X), InvalidTypeError, "subject is a Tensor"),
        (lambda: report.render_report([FOUND], SUBJECT, X), InvalidTypeError, "run is a Tensor"),
        (lambda: report.render_report([FOUND], SUBJECT, None, X), InvalidTypeError, "comparison is a Tensor"),
        (lambda: report.write_report(X, [FOUND], SUBJECT), InvalidTypeError, "path is a Tensor"),
        (lambda: report.render_comparison(X), InvalidTypeError, "comparison is a Tensor"),
        (lambda: report.render_comparison(COMPARED, title=X), InvalidTypeError, "title is a Tensor"),
        (lambda: report.render_comparison(COMPARED, run="auto"), InvalidTypeError, "run is a str"),
        (lambda: report.render_overview(X, [section()]), InvalidTypeError, "title is a Tensor"),
        (lambda: report.render_overview("a", X), InvalidTypeError, "sections is a Tensor"),
        (lambda: report.render_overview("a", [FOUND]), InvalidTypeError, "sections.*Section"),
        (lambda: report.render_overview("a", [section()], X), InvalidTypeError, "lead is a Tensor"),
        (lambda: section(explanation=3), InvalidTypeError, "explanation is a int"),
        (lambda: section(link=3), InvalidTypeError, "link is a int"),
        (lambda: section(text=X), InvalidTypeError, "text is a Tensor"),
        (lambda: about(model=X), InvalidTypeError, "model is a Tensor"),
        (lambda: about(summaries=3), InvalidTypeError, "summaries is a int"),
        (lambda: about(settings=["one"]), InvalidTypeError, "settings.*pairs"),
        (lambda: about(notes="one"), InvalidTypeError, "notes is a str"),
        (lambda: page(kind=[]), InvalidValueError, "kind"),
        (lambda: page(names=3), InvalidTypeError, "names is a int"),
        (lambda: page(pictures=[X, X]), InvalidTypeError, r"pictures.*\(H, W, 3\)"),
        (lambda: page(pictures=[np.zeros((2, 2)), np.array(["a"])]), InvalidTypeError, "pictures"),
        (lambda: page(values=[3, 4]), InvalidTypeError, "values.*lists of texts"),
        (lambda: page(truth=["cat", "dog"]), InvalidTypeError, "truth.*numbers of classes"),
        (lambda: page(labels=[1, 2]), InvalidTypeError, "labels.*texts"),
        (lambda: report.subject_of(3), InvalidTypeError, "explanation is a int"),
        (lambda: report.method_title(3), InvalidTypeError, "name is a int"),
        (lambda: report.explanation_title(3), InvalidTypeError, "explanation is a int"),
        (lambda: report.value_text(3), InvalidTypeError, "output is a int"),
        (lambda: report.verdict_of(3, 0), InvalidTypeError, "explanation is a int"),
        (lambda: report.verdict_of(FOUND, [0]), InvalidTypeError, "position is a list"),
        (lambda: report.verdict_of(FOUND, 2), InvalidValueError, "position is 2"),
        (lambda: report.png_uri("PNG"), InvalidTypeError, "content is a str"),
        (lambda: report.certificate_view(3), InvalidTypeError, "certificate is a int"),
        (lambda: COMPARED.plot("complexity", ax=3), InvalidTypeError, "ax is of type int"),
        (lambda: COMPARED.best(np.zeros(3)), InvalidValueError, r"not compared\. Pass complexity\."),
        (lambda: COMPARED.to_html(X), InvalidTypeError, "path is a Tensor"),
        (lambda: FOUND.to_html(3), InvalidTypeError, "path is a int"),
        (lambda: FOUND.save(3), InvalidTypeError, "path is a int"),
        (lambda: FOUND.plot(top=-(2**63) - 1), InvalidValueError, "top"),
        (lambda: FOUND.labelled(tokens=[["a"] * 6] * 2), InvalidValueError, r"tokens\[0\] is of length 6"),
        (lambda: IMAGES.labelled(tokens=[["a"]]), InvalidValueError, "tokens is given"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_file_in_a_folder_that_there_is_not(tmp_path):
    with pytest.raises(InvalidValueError, match=r"path.*cannot be written"):
        FOUND.save(tmp_path / "no folder" / "found.safetensors")
