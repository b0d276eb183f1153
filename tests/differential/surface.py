"""Names, members and signatures of both libraries, and what is listed about their differences."""

import importlib
import inspect
import tomllib
from dataclasses import dataclass, fields, is_dataclass

from tests.differential.differences import SOURCE
from tests.differential.libraries import public

PLACES = {
    "captum.attr": "pellucid.attr",
    "captum.robust": "pellucid.robust",
    "captum.metrics": "pellucid.metrics",
    "captum.attr._utils.visualization": "pellucid.visualization",
    "captum.attr._utils.lrp_rules": "pellucid.lrp",
    "captum._utils.models.linear_model": "pellucid.attr.models",
    "captum.attr._utils.input_layer_wrapper": "pellucid.attr",
    "captum.attr._core.dataloader_attr": "pellucid.attr",
    "captum.attr._core.lime": "pellucid.attr",
    "captum.concept": None,
    "captum.influence": None,
    "captum.module": None,
}
"""By module of Captum, where the same names stand here; all of the names of the last ones are absent."""

PART = {
    "captum.attr._utils.input_layer_wrapper": ("ModelInputWrapper",),
    "captum.attr._core.dataloader_attr": ("InputRole",),
    "captum.attr._core.lime": ("get_exp_kernel_similarity_function",),
}
"""Of modules that are not for others, the names that people import all the same."""
BUILT_ONLY = ("captum.attr._utils.lrp_rules", "captum._utils.models.linear_model")
"""Of the classes of these modules only the construction is compared; Captum's are torch modules or hooks inside."""

REQUIRED, ABSENT, SWALLOWED = "required", "absent", "swallowed"
DATA = tomllib.loads(SOURCE.read_text())


@dataclass(frozen=True, order=True)
class Argument:
    """An argument that the same callable has otherwise in both libraries."""

    of: str
    argument: str
    captum: str
    pellucid: str


LISTED = {
    Argument(of, entry["argument"], entry["captum"], entry["pellucid"])
    for entry in DATA["argument"]
    for of in entry["of"]
}
LACKING = {(of, member) for entry in DATA["member"] for of in entry["of"] for member in entry["members"]}
ABSENT_NAMES = {(entry["module"], name) for entry in DATA["absent"] for name in entry["names"]}


def theirs(module):
    """What a module of Captum offers."""
    found = importlib.import_module(module)
    offered = PART.get(module, public(found))
    return {name: getattr(found, name) for name in offered if not inspect.ismodule(getattr(found, name))}


def pairs():
    """All classes and functions that both libraries have, as (name, Captum's, ours), each once."""
    found = {}
    for module, place in PLACES.items():
        here = importlib.import_module(place) if place else None
        for name, value in theirs(module).items():
            if hasattr(here, name) and (inspect.isclass(value) or inspect.isfunction(value)):
                found.setdefault(name, (name, value, getattr(here, name)))
    return list(found.values())


def members(cls):
    """Public attributes of a class."""
    return set() if cls.__module__.startswith(BUILT_ONLY) else {name for name in dir(cls) if not name.startswith("_")}


def has(cls, member):
    """Tell whether objects of a class have an attribute."""
    return hasattr(cls, member) or (is_dataclass(cls) and member in {field.name for field in fields(cls)})


def default(parameter):
    """A default as the list has it: functions by name."""
    if parameter.default is parameter.empty:
        return REQUIRED
    return parameter.default.__name__ if inspect.isfunction(parameter.default) else repr(parameter.default)


def signature(function):
    """Parameters of a callable without ``self``."""
    return {name: p for name, p in inspect.signature(function).parameters.items() if name != "self"}


def differing(of, captum, pellucid):
    """Arguments that differ; keyword-only ones of ours are more, not different."""
    theirs_, ours = signature(captum), signature(pellucid)
    found = set()
    for name, p in theirs_.items():
        if p.kind is p.VAR_KEYWORD:
            if not any(q.kind is p.kind for q in ours.values()):
                found.add(Argument(of, "**kwargs", SWALLOWED, ABSENT))
        elif p.kind is p.VAR_POSITIONAL:
            continue
        elif name not in ours:
            found.add(Argument(of, name, default(p), ABSENT))
        else:
            if ours[name].kind is not p.kind:
                found.add(Argument(of, name, p.kind.description, ours[name].kind.description))
            if default(p) != default(ours[name]):
                found.add(Argument(of, name, default(p), default(ours[name])))
    variable = any(p.kind is p.VAR_POSITIONAL for p in theirs_.values())
    for name, q in ours.items():
        if name not in theirs_ and q.kind is q.POSITIONAL_OR_KEYWORD and not variable:
            found.add(Argument(of, name, ABSENT, default(q)))
    placed = [n for n, p in theirs_.items() if p.kind is p.POSITIONAL_OR_KEYWORD and n in ours]
    here = [n for n, q in ours.items() if q.kind is q.POSITIONAL_OR_KEYWORD]
    if here[: len(placed)] != placed:
        found.add(Argument(of, "order", ", ".join(placed), ", ".join(here)))
    return found
