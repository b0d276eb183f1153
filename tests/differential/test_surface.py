"""Every public name of Captum 0.9.0 is here with its arguments, or listed with a reason; nothing listed is stale."""

import enum
import importlib
import inspect

import pytest

pytest.importorskip("captum", reason="Captum is a development dependency")

from tests.differential.surface import (
    ABSENT_NAMES,
    DATA,
    LACKING,
    LISTED,
    PLACES,
    differing,
    has,
    members,
    pairs,
    theirs,
)

PAIRS = pairs()
CLASSES = [p for p in PAIRS if inspect.isclass(p[1])]
every_pair = pytest.mark.parametrize(("name", "captum", "ours"), PAIRS, ids=[p[0] for p in PAIRS])


@pytest.mark.parametrize("module", PLACES)
def test_names(module):
    place = PLACES[module]
    here = importlib.import_module(place) if place else object()
    missing = {(module, name) for name in theirs(module) if not hasattr(here, name)}
    assert missing == {entry for entry in ABSENT_NAMES if entry[0] == module}


def test_the_list_of_modules_is_whole():
    import captum

    packages = {"attr", "robust", "metrics", "concept", "influence", "module"}
    assert {f"captum.{name}" for name in packages} <= set(PLACES)
    assert set(captum.__all__) - packages == {"log"}  # only stubs
    assert {module for module, _ in ABSENT_NAMES} <= set(PLACES)


@every_pair
def test_kinds(name, captum, ours):
    assert inspect.isclass(captum) == inspect.isclass(ours)
    assert callable(captum) == callable(ours)


@pytest.mark.parametrize(("name", "captum", "ours"), CLASSES, ids=[p[0] for p in CLASSES])
def test_members(name, captum, ours):
    lacking = {(name, member) for member in members(captum) if not has(ours, member)}
    assert lacking == {entry for entry in LACKING if entry[0] == name}


def found_in(name, captum, ours):
    if not inspect.isclass(captum):
        return differing(name, captum, ours)
    if issubclass(ours, enum.IntEnum):
        assert {n: v for n, v in vars(captum).items() if n[0] != "_"} == {member.name: member.value for member in ours}
        return set()
    found = differing(f"{name}.__init__", captum, ours)
    for member in members(captum):
        if (
            has(ours, member)
            and inspect.isroutine(getattr(captum, member))
            and inspect.isroutine(getattr(ours, member))
        ):
            found |= differing(f"{name}.{member}", getattr(captum, member), getattr(ours, member))
    return found


@every_pair
def test_arguments(name, captum, ours):
    assert found_in(name, captum, ours) == {entry for entry in LISTED if entry.of.partition(".")[0] == name}


def test_what_is_listed_belongs_to_something():
    names = {p[0] for p in PAIRS}
    assert {entry.of.partition(".")[0] for entry in LISTED} <= names
    assert {name for name, _ in LACKING} <= names
    for kind in ("argument", "member", "absent"):
        assert all(entry["reason"].strip() for entry in DATA[kind])
    assert len(LISTED) == sum(len(entry["of"]) for entry in DATA["argument"])


def test_most_of_what_captum_has_is_compared():
    assert len(PAIRS) >= 100
