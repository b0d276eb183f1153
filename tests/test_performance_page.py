"""The page of figures says what was measured, and explains what is slow."""

import inspect
import json

import captum.attr
import pytest

from benchmarks import page
from benchmarks.methods import bare, libraries, merged
from benchmarks.reasons import REASONS, reason_for
from benchmarks.subjects import SUBJECTS
from benchmarks.table import METHODS, NOT_MEASURED
from pellucid import attr

DATA = json.loads(page.RESULTS.read_text())
BASES = {"Attribution", "GradientAttribution", "PerturbationAttribution", "LayerAttribution", "NeuronAttribution"}


def test_page_is_current():
    assert page.PAGE.read_text() == page.text(DATA), "run python -m benchmarks.page"


def test_every_method_that_both_libraries_have_is_measured():
    both = {n for n in captum.attr.__all__ if n in attr.__all__ and inspect.isclass(getattr(attr, n))}
    both = {n for n in both if issubclass(getattr(attr, n), attr.Attribution)} - BASES - set(NOT_MEASURED)
    assert both == {
        name.partition("(")[0] for name in METHODS if METHODS[name].scope in {"inputs", "layers", "neurons"}
    }


def test_every_row_of_the_table_was_measured():
    measured = {(cell["method"], cell["subject"]) for cell in DATA["cells"]}
    assert measured == {(row.name, subject) for row in METHODS.values() for subject in row.subjects}
    assert {found["method"] for found in DATA["memory"]} == set(METHODS)


def test_every_reason_is_used():
    used = {reason_for(cell["method"], cell) for cell in DATA["cells"] if page.beyond(cell)}
    assert used == set(REASONS)


def test_means_are_over_methods():
    cells = [
        {"method": "Saliency", "captum": 4.0, "ours": 1.0},
        {"method": "Saliency", "captum": 1.0, "ours": 1.0},
        {"method": "LRP", "captum": 8.0, "ours": 1.0},
    ]
    assert page.overall(cells) == pytest.approx(4.0)


def test_new_measurements_replace_old_ones_of_the_same_method():
    old = {part: [{"method": "LRP", "n": 1}, {"method": "Saliency", "n": 1}] for part in ("cells", "memory", "growth")}
    new = {part: [{"method": "LRP", "n": 2}] for part in ("cells", "memory", "growth")}
    found = merged(old, {**new, "versions": {}})
    assert found["cells"] == [{"method": "Saliency", "n": 1}, {"method": "LRP", "n": 2}]


def test_bare_passes_evaluate_as_many_rows_as_they_say():
    model, x = SUBJECTS["MLP x 16"].prepare()
    rows = []
    handle = model.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))
    bare(model, x, {"gradient": 5, "forward": 0.5}, 32)()
    handle.remove()
    assert rows == [32, 32, 16, 8]


@pytest.mark.filterwarnings("ignore")  # Captum's own
@pytest.mark.parametrize("name", METHODS)
def test_both_libraries_take_the_calls(name):
    """What is compared has one shape in both, so that the calls ask for the same."""
    row = METHODS[name]
    subject = SUBJECTS[row.subjects[0]]
    shapes = []
    for library in libraries().values():
        model, x = subject.prepare()
        shapes.append(tuple(row.call(library, model, x, subject, min(row.work, 16))().shape))
    assert shapes[0] == shapes[1]
