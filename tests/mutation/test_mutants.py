"""The tool that counts unnoticed errors: what it changes, what it leaves alone, and that it tells both outcomes."""

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import CORE, drawn, wilson
from tests.mutation.evidence import Evidence
from tests.mutation.mutants import mutants, mutated
from tests.mutation.trial import notices

SOURCE = '''
"""Words."""
from __future__ import annotations

SIZE = 2 * 16
SHARE = 0.5


def middle(values: list[int | float], *, low: bool = True) -> float:
    """Words: 1 + 1."""
    if len(values) < 1:
        raise invalid_value("values", f"of length {0 + 0}", "1 is needed", "one")
    if not low and values:
        notify("1 + 1", 2)
    bar.update(3 + 4)
    pairs = zip(values, values, strict=True)
    return values[len(values) // 2] if low else -values[0]


class Box:
    def __repr__(self):
        return "a" + str(1 + 1)
'''


def changes(source):
    return {(m.before, m.after) for m in mutants(source)}


def test_what_is_changed():
    found = changes(SOURCE)
    assert ("len(values) < 1", "len(values) <= 1") in found
    assert ("not low and values", "not low or values") in found
    assert ("not low", "low") in found
    assert ("len(values) // 2", "len(values) * 2") in found
    assert [m.before for m in mutants(SOURCE)].count("True") == 1  # low, but not strict
    assert ("0.5", "2.0") in found
    assert ("-values[0]", "values[0]") in found
    assert any(before.startswith("raise") and after == "pass" for before, after in found)


def test_tolerances_and_graphics_cards_are_left_alone():
    found = changes(
        "if x > 1e-9 * y:\n    torch.cuda.set_rng_state(z, 0)\nif x <= 8 * torch.finfo(d).eps or x > 0.5:\n    pass"
    )
    assert not any(after.startswith(("x >=", "x < ")) and "0.5" not in after for _, after in found)
    assert ("1e-09", "1.000000002") in found
    assert ("x > 0.5", "x >= 0.5") in found
    assert not any("cuda" in before and not before.startswith("if") for before, _ in found)


def test_what_nobody_notices_is_left_alone():
    for before, _ in changes(SOURCE):
        assert "1 + 1" not in before or before.startswith(("raise", "if"))
        assert before not in {"int | float", "2 * 16", "16", "3 + 4", "bar.update(3 + 4)"}
        assert not before.startswith(("notify", "'"))


@pytest.mark.parametrize("number", range(0, 36, 3))
def test_a_mutant_differs_in_one_place_only(number):
    known = {m.number: m for m in mutants(SOURCE)}
    if number not in known:
        with pytest.raises(ValueError, match="not changed"):
            mutated(SOURCE, number)
        return
    plain, changed = ast.unparse(ast.parse(SOURCE)), ast.unparse(mutated(SOURCE, number))
    assert changed != plain
    assert len(changed.splitlines()) >= len(plain.splitlines()) - 1


def test_bounds_of_a_share():
    low, high = wilson(85, 100)
    assert (round(low, 3), round(high, 3)) == (0.767, 0.907)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


CODE = "def double(x):\n    unused = 3\n    return x * 2\n"
TESTS = "from little import double\n\ndef test_double():\n    assert double(3) == 6\n"


def test_errors_are_noticed_or_not(tmp_path, monkeypatch):
    """A wrong product is noticed, a value that nobody reads is not, and a module that breaks is an error."""
    path = tmp_path / "little.py"
    path.write_text(CODE)
    (tmp_path / "test_little.py").write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    by_change = {m.before: m.number for m in mutants(CODE)}
    address = ["test_little.py::test_double"]
    assert notices("little", path, by_change["x * 2"], address, 60) == "a test"
    assert notices("little", path, by_change["3"], address, 60) is None
    path.write_text("while 1 > 2:\n    pass\n" + CODE)
    loop = next(m.number for m in mutants(path.read_text()) if m.before == "1 > 2")
    assert notices("little", path, loop, address, 60) is None
    path.write_text("while 2 <= 1:\n    pass\n" + CODE.replace("3", "0 if 1 else None + 1"))
    broken = next(m.number for m in mutants(path.read_text()) if m.before == "return x * 2")
    assert notices("little", path, broken, address, 60) == "a test"


def test_tests_inside_the_changed_file_run_with_the_change(tmp_path, monkeypatch):
    """As doctests do: their file is loaded because it was asked for."""
    path = tmp_path / "inner.py"
    path.write_text("def double(x):\n    return x * 2\n\n\ndef test_double():\n    assert double(3) == 6\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    wrong = next(m.number for m in mutants(path.read_text()) if m.before == "x * 2")
    assert notices("inner", path, wrong, ["inner.py::test_double"], 60) == "a test"


def test_what_never_ends_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "ending.py"
    path.write_text("def count(n):\n    while n > 0:\n        n = n - 1\n    return n\n")
    (tmp_path / "test_ending.py").write_text("from ending import count\n\ndef test_it():\n    assert count(2) == 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    endless = next(m.number for m in mutants(path.read_text()) if m.before == "n - 1")
    assert notices("ending", path, endless, ["test_ending.py::test_it"], 4) == "time"


def test_the_fastest_tests_of_each_kind_come_first():
    source = "def f(x):\n    return x + 1\n"
    mutant = next(m for m in mutants(source) if m.before == "x + 1")
    path = Path("f.py")
    seconds = {"t.py::a[1]": 0.1, "t.py::a[2]": 0.2, "t.py::b": 1.0, "t.py::c": 9.0, "t.py::d": 0.01}
    evidence = Evidence(seconds, {path: {2: ["t.py::a[1]", "t.py::a[2]", "t.py::b", "t.py::c"], 1: ["t.py::d"]}})
    assert evidence.tests_for(path, mutant, 2.0) == ["t.py::a[1]", "t.py::b", "t.py::a[2]"]


def test_rare_ways_through_a_function_are_tried_first():
    source = "def f(x):\n    if x > 2:\n        return 3\n    return 4\n"
    mutant = next(m for m in mutants(source) if m.before == "x > 2")
    path = Path("f.py")
    fast = [f"t.py::a[{k}]" for k in range(50)]
    seconds = {**dict.fromkeys(fast, 0.01), "t.py::a[slow]": 0.1, "t.py::elsewhere": 0.01}
    reached = {2: [*fast, "t.py::a[slow]"], 3: ["t.py::a[slow]"], 4: fast, 8: fast[49:], 9: ["t.py::elsewhere"]}
    chosen = Evidence(seconds, {path: reached}).tests_for(path, mutant, 0.8)
    assert chosen[:3] == ["t.py::a[slow]", "t.py::a[0]", "t.py::a[49]"]
    assert 50 > len(chosen) > 10
    assert "t.py::elsewhere" not in chosen


def test_a_sample_keeps_its_mutants_when_other_code_changes():
    path, source = (
        CORE / "f.py",
        "def f(x):\n    return x + 1 if x > 2 else 3 * x\n\n\ndef g(y):\n    return y // 5 == 7\n",
    )
    before = [(path, m) for m in mutants(source)]
    after = [(path, m) for m in mutants("def h(z):\n    return z - 8\n\n\n" + source)]
    kept = [(m.before, m.after) for _, m in drawn(after, 0) if "z" not in m.before and m.before != "8"]
    assert kept == [(m.before, m.after) for _, m in drawn(before, 0)]
    assert drawn(before, 0) != drawn(before, 1)
    assert sorted(m.number for _, m in drawn(before, 1)) == [m.number for _, m in before]
