"""Budgets of the code: sizes, imports, docstrings. They are checked like any other behaviour."""

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pellucid import attr, metrics, robust
from pellucid.docstrings import ARGUMENTS
from tests.cases import AGAINST_CAPTUM, CASES, OTHER_RESULTS, REFERENCES
from tests.nodes import is_test

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LINES, STATEMENTS, PARAMETERS = 500, 50, 7
PRESETS = {
    "attribute",
    "attribute_future",
    "explain",
    "compare",
    "visualize_image_attr",
    "visualize_image_attr_multiple",
    "visualize_timeseries_attr",
    "attention",
    "check_method",
    *("perturb", "search", "evaluate"),
}
PRESETS |= {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
"""Functions whose parameters are fixed by compatibility (also with torch's own), or are the settings of a call."""

every_file = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))


def functions(tree):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(node):
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(getattr(first, "value", None), ast.Constant)
    return node.end_lineno - (first.end_lineno if documented else node.lineno)


@every_file
def test_sizes(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= LINES
    for node in functions(tree):
        assert code_lines(node) <= STATEMENTS, f"{node.name} is too long"
        arguments = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in {"self", "cls"}]
        assert len(arguments) <= PARAMETERS or node.name in PRESETS, f"{node.name} has {len(arguments)} parameters"
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not re.search(r"""(^|["' (=])/(work|root|home|tmp)/""", text)


def test_type_ignores_are_few_and_carry_code_and_reason():
    found = [line for p in SOURCES for line in p.read_text().splitlines() if "type: ignore" in line]
    assert len(found) < 20
    for line in found:
        assert re.search(r"type: ignore\[[a-z-]+\]  # \S+", line), line


def imports(path):
    """Modules of the package that a file imports when it is imported itself."""
    tree = ast.parse(path.read_text())
    nodes = [n for n in tree.body if isinstance(n, ast.ImportFrom | ast.Import)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pellucid"):
            yield from ((node.module, alias.name) for alias in node.names)


def module_of(path):
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_private_name_crosses_folders():
    packages = {module_of(p) for p in SOURCES if p.name == "__init__.py"}

    def folder(module):
        return module if module in packages else module.rpartition(".")[0]

    for path in SOURCES:
        for module, name in imports(path):
            if name.startswith("_") and not name.startswith("__") and name != "_core":
                assert folder(module) == folder(module_of(path)), f"{path.name}: {module}.{name}"


LAYERS = [
    ("pellucid.errors", "pellucid.typing", "pellucid.docstrings"),
    ("pellucid._core",),
    ("pellucid.visualization", "pellucid.rules", "pellucid.lrp"),
    ("pellucid.attr", "pellucid.robust", "pellucid.metrics", "pellucid.intervals"),
    ("pellucid.registry", "pellucid.explanation", "pellucid.ids"),
    ("pellucid.scopes", "pellucid.tokens", "pellucid.comparison", "pellucid.verdicts", "pellucid.rest"),
    ("pellucid.explaining",),
    ("pellucid.comparing",),
    ("pellucid.report",),
    ("pellucid.insights",),
    ("pellucid.cli", "pellucid.testing"),
]
"""From the bottom to the top; a file imports from its own layer and from those below."""


def layer(module):
    for height, names in enumerate(LAYERS):
        if any(module == n or module.startswith(f"{n}.") for n in names):
            return height
    return None


def test_dependencies_point_downward():
    for path in SOURCES:
        here = layer(module_of(path))
        if here is None:
            continue
        for module, name in imports(path):
            there = layer(f"{module}.{name}")
            there = layer(module) if there is None else there
            if there is not None:
                assert there <= here, f"{module_of(path)} imports {module}.{name} from above"


def test_no_import_cycles():
    known = {module_of(p) for p in SOURCES}
    graph = {}
    for path in SOURCES:
        wanted = {f"{m}.{n}" if f"{m}.{n}" in known else m for m, n in imports(path)}
        graph[module_of(path)] = wanted & known
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, f"cycle: {' -> '.join([*open_, module])}"
        if module in done:
            return
        open_.append(module)
        for other in sorted(graph[module]):
            visit(other)
        open_.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


def test_docstring_lines_do_not_repeat():
    lines = Counter()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                lines.update(line.strip() for line in text.splitlines() if len(line.split()) > 4)
    repeated = sum(n - 1 for n in lines.values() if n > 1)
    assert repeated <= 0.05 * sum(lines.values()), lines.most_common(8)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_costs_nothing():
    code = """
import sys, torch
before = set(sys.modules)
import pellucid.attr
new = {m for m in set(sys.modules) - before if m.split(".")[0] != "pellucid"}
print(len(new))
print([m for m in new if m.split(".")[0] in
       {"matplotlib", "sklearn", "scipy", "PIL", "captum", "click", "tqdm", "transformers", "IPython"}])
print("torch._dynamo" in sys.modules and "torch._dynamo" not in before)
"""
    count, heavy, dynamo = run(code).splitlines()
    assert int(count) < 60
    assert heavy == "[]"
    assert dynamo == "False"


def test_explaining_does_not_import_the_compiler():
    """It takes a second, and torch does so on many an occasion."""
    code = """
import sys, torch
from pellucid.attr import FeatureAblation
FeatureAblation(torch.nn.Linear(300, 1)).attribute(torch.ones(1, 300))
print("torch._dynamo" in sys.modules)
"""
    assert run(code).strip() == "False"


def public_methods():
    for name in attr.__all__:
        cls = getattr(attr, name)
        if inspect.isclass(cls) and issubclass(cls, attr.Attribution) and not inspect.isabstract(cls):
            yield cls


def test_every_public_method_stands_in_the_cases():
    built = {case.method.__name__ for case in CASES}
    assert all(case.make is not case.method or type(case.make(lambda v: v)) is case.method for case in CASES)
    assert built.isdisjoint(OTHER_RESULTS)
    assert built | set(OTHER_RESULTS) == {cls.__name__ for cls in public_methods()}


def test_every_public_method_has_a_reference_and_where_captum_has_it_a_comparison():
    names = {cls.__name__ for cls in public_methods()}
    assert set(REFERENCES) == names
    for node in (*REFERENCES.values(), *AGAINST_CAPTUM.values()):
        assert is_test(node), node
    captum = pytest.importorskip("captum.attr", reason="Captum is a development dependency")
    assert set(AGAINST_CAPTUM) == {name for name in names if hasattr(captum, name)}


@pytest.mark.parametrize("cls", list(public_methods()), ids=lambda c: c.__name__)
def test_public_docstrings_are_whole(cls):
    text = inspect.getdoc(cls)
    assert text
    assert "Example:" in text
    assert "References:" in text
    for member in (cls.__init__, cls.attribute):
        doc = inspect.getdoc(member)
        assert "{arguments}" not in doc
        for parameter in inspect.signature(member).parameters:
            if parameter != "self":
                assert re.search(rf"^    {parameter}: \S", doc, re.MULTILINE), f"{member.__qualname__}: {parameter}"


def public_metrics():
    """Functions that score, without those that help to."""
    helpers = {"metric_named", "default_perturb_func", "infidelity_perturb_func_decorator"}
    for name in metrics.__all__:
        if inspect.isfunction(getattr(metrics, name)) and name not in helpers:
            yield getattr(metrics, name)


def test_every_metric_stands_in_the_registry():
    assert {function.__name__ for function in public_metrics()} == set(metrics.METRICS)


@pytest.mark.parametrize("function", list(public_metrics()), ids=lambda f: f.__name__)
def test_docstrings_of_metrics_are_whole(function):
    text = inspect.getdoc(function)
    for part in (
        "Example:",
        "Args:",
        "Returns:",
        "Raises:",
        "References:",
        r"(high|low)er\s+is",
    ):
        assert re.search(part, text), part
    assert "{arguments}" not in text
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^    {parameter}: \S", text, re.MULTILINE), parameter


def test_shared_texts_are_used():
    used = {p for c in public_methods() for m in (c.__init__, c.attribute) for p in inspect.signature(m).parameters}
    used |= set(inspect.signature(attr.IntegratedGradients.compute_convergence_delta).parameters)
    attacks = (robust.FGSM, robust.PGD, robust.APGD)
    used |= {p for c in attacks for m in (c.__init__, c.perturb) for p in inspect.signature(m).parameters}
    used |= {parameter for function in public_metrics() for parameter in inspect.signature(function).parameters}
    assert set(ARGUMENTS) <= used


def test_the_contract_sees_only_what_is_public():
    """Methods of anybody's are tested as those of the library, and without a test runner."""
    for path in (ROOT / "src" / "pellucid" / "testing").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                first, _, rest = name.partition(".")
                assert first in {"torch", "pellucid", *sys.stdlib_module_names}
                assert first != "pellucid" or not rest.startswith("_"), f"{path.name}: {name}"


def test_captum_is_never_imported():
    for path in SOURCES:
        assert not re.search(r"^\s*(import|from) captum", path.read_text(), re.MULTILINE)
