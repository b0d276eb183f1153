"""The table of methods in the documentation says what the library does."""

import inspect
import re
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid
from pellucid import attr

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS / "_ext"))

from methods import METHODS, OVERHEAD  # noqa: E402  (the site's builder is no package)

ROWS = [row for rows in METHODS.values() for row in rows]
FEATURES = 8
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)


def test_every_method_has_a_row():
    classes = [name for row in ROWS for name in row.classes]
    exported = {
        name
        for name in attr.__all__
        if inspect.isclass(cls := getattr(attr, name))
        and issubclass(cls, attr.Attribution)
        and not inspect.isabstract(cls)
    }
    assert len(classes) == len(set(classes))
    assert set(classes) == exported
    names = [name for row in ROWS for name in row.names]
    assert sorted(names) == sorted(method.name for method in pellucid.methods())


def measured(row):
    """Evaluations per example of one call by each name, or by the first class if it has none."""
    torch.manual_seed(5)
    image = row.title == "Guided Grad-CAM"
    x = torch.randn(3, 1, 4, 2) if image else torch.randn(3, FEATURES)
    first = nn.Conv2d(1, 2, 3, padding=1) if image else nn.Linear(FEATURES, 6)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(16 if image else 6, 3))
    arguments = {name: value(x) if callable(value) else value for name, value in row.arguments.items()}
    if not row.names:
        with pellucid.recording() as report:
            getattr(attr, row.classes[0])(model).attribute(x, **arguments)
        return [report.rows / len(x)]
    asks = {} if row.title == "Activation" else {"target": 0}
    costs = [pellucid.explain(model, x, name, **asks, **arguments).cost for name in row.names]
    return [cost.rows / len(x) - 1 for cost in costs]  # explain looks at the outputs once


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
@each_row
def test_costs_are_those_that_explain_reports(row):
    if row.count is None:
        assert row.title == "Over a data set"
        return
    expected = row.count(row.arguments, FEATURES)
    for found in measured(row):
        assert found <= expected + OVERHEAD
        assert row.at_most or found >= expected


@each_row
def test_defaults_in_the_table_are_those_of_the_classes(row):
    parameters = inspect.signature(getattr(attr, row.classes[0]).attribute).parameters
    for name, default in re.findall(r"(n\w+) \((\d+)[;,)]", row.passes):
        assert parameters[name].default == int(default)
    assert row.baseline in {"as the method", "no"} or "baselines" in parameters
    if row.baseline == "a distribution":
        assert getattr(attr, row.classes[0]).takes_distribution


def plain(text):
    """A name without accents, as docstrings write it."""
    without = re.sub(r"\\.\{(\w)\}|\\.(\w)|[{}]", r"\1\2", text)
    return unicodedata.normalize("NFKD", without)


def bibliography():
    """Fields of each entry by its key."""
    entries = re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", (DOCS / "references.bib").read_text(), re.DOTALL)
    assert len({key for key, _ in entries}) == len(entries)
    return {key: dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE)) for key, body in entries}


def test_every_preprint_that_the_code_cites_is_in_the_bibliography():
    sources = (Path(pellucid.__file__).parent).rglob("*.py")
    cited = {number for path in sources for number in re.findall(r"arXiv:(\d{4}\.\d{5})", path.read_text())}
    assert cited <= {entry.get("eprint") for entry in bibliography().values()}


def test_references_are_those_of_the_docstrings():
    fields = bibliography()
    for row in ROWS:
        told = " ".join(inspect.getdoc(getattr(attr, row.classes[0])).split())
        for key in row.keys:
            surname = plain(fields[key]["author"].split(",")[0])
            assert surname in told, f"{row.title}: {surname}"
            assert fields[key]["year"] in told, f"{row.title}: {key}"
            assert fields[key].get("eprint", "") in told, f"{row.title}: {key}"
