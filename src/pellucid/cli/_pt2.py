"""Exported programs (``.pt2``) that are checked before they are loaded.

``torch.export.load`` of torch 2.13 is no safe loader. Reading its source, a file can run code in these ways:

- example inputs, and legacy weights and constants: ``torch.load`` with ``weights_only=True``, and on any
  failure, with only a line in the log, again with ``weights_only=False``;
- weights and constants marked ``use_pickle``: ``weights_only=False`` at once; opaque and custom objects:
  ``pickle.loads``, or torch's own unpickler;
- symbolic sizes: ``sympy.sympify``, which evaluates text;
- operator names: any attribute path below ``torch``, such as ``torch.os.system``, becomes a call in the graph;
- names of values and arguments, and guards, end up in generated Python source;
- pytree contexts import modules that they name; compiled parts (AOTInductor) are native code.

So a file is read with the archive reader that also loads it, everything that it holds must be on the lists
below, and it is then loaded without guards and with ``weights_only`` forced on all of ``torch.load``.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export.pt2_archive import PT2ArchiveReader
from torch.export.pt2_archive._package import load_pt2

RECORDS = re.compile(
    r"data/weights/(weight_\d+|[\w.-]+_weights_config\.json)"
    r"|data/constants/(tensor_\d+|[\w.-]+_constants_config\.json)"
    r"|data/sample_inputs/[\w.-]+\.pt|models/[\w.-]+\.json|extra/.*"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id|alignment)"
)
OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+\.\w+"
    r"|torch\.(sym_\w+|_sym_\w+)|math\.(ceil|floor|trunc|sqrt|pow)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|wrap_with_set_grad_enabled|wrap_with_autocast)"
)
FILE_OPERATORS = re.compile(r"torch\.ops\.aten\.from_file\b.*|.*\b__\w+__.*")
NAME = re.compile(r"[\w.-]*")  # nothing of this can be a call in generated source
FREE_TEXT = {"as_string", "stack_trace", "nn_module_stack", "torch_fn", "torch_version", "from_node", "custom"}
FREE_TEXT |= {"source_fn_stack", "guards_code"}  # looked up or kept, not run: guards are not built
TREE_TYPES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
EXPRESSION_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.keyword, ast.Compare,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
FUNCTIONS = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "PythonMod", "Max", "Min", "FloorDiv",
    "CeilDiv", "CleanDiv", "ModularIndexing", "Where", "IntTrueDiv", "FloatTrueDiv", "PowByNatural", "FloatPow",
    "ToFloat", "TruncToInt", "TruncToFloat", "FloorToInt", "CeilToInt", "RoundToInt", "Identity", "Eq", "Ne", "Lt",
    "Le", "Gt", "Ge", "floor", "ceiling", "Not", "And", "Or",
}  # fmt: skip


class UnsafeProgramError(Exception):
    """A file holds something that could run code when it is loaded; the message says what."""


def load_program(path: Path, *, trust: bool = False) -> Any:
    """Load an exported program, only if nothing in it can run code, or whatever it holds if it is trusted.

    Args:
        path: A ``.pt2`` file as ``torch.export.save`` writes it.
        trust: Load without looking, with full unpickling.

    Returns:
        The ``torch.export.ExportedProgram``.

    Raises:
        UnsafeProgramError: Something in the file could run code.
    """
    if trust:
        return torch.export.load(path)

    content = io.BytesIO(path.read_bytes())  # what is checked is what is loaded
    _check_archive(content)
    content.seek(0)
    with _weights_only():
        # not torch.export.load: where this fails, that one tries an older, unchecked format
        programs = load_pt2(content).exported_programs
    return next(iter(programs.values()))


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make every ``torch.load`` refuse what is no plain tensor, also where it is called with False."""
    names = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_archive(content: io.BytesIO) -> None:

    archive = PT2ArchiveReader(content)
    names = archive.get_file_names()
    models = [name for name in names if name.startswith("models/")]
    if len(models) != 1:
        raise UnsafeProgramError(f"it holds {len(models)} models where exactly one is expected")
    for name in names:
        if not RECORDS.fullmatch(name):
            raise UnsafeProgramError(f"it holds {name!r}, which may be a pickle or compiled code")
        if name.startswith("data/sample_inputs/"):
            try:
                torch.load(io.BytesIO(archive.read_bytes(name)), weights_only=True)
            except Exception as error:
                raise UnsafeProgramError(f"{name!r} does not load with weights_only") from error
        elif name.endswith("_config.json"):
            _check_payloads(json.loads(archive.read_string(name)))
        elif name.startswith("models/"):
            _check_model(json.loads(archive.read_string(name)))


def _check_payloads(config: Any) -> None:
    for name, payload in config["config"].items():
        plain = isinstance(payload, dict) and payload.get("use_pickle") is False
        if not plain or not re.fullmatch(r"(weight|tensor)_\d+", str(payload.get("path_name"))):
            raise UnsafeProgramError(f"its weight or constant {name!r} is stored as a pickle")
        _check_name(name)
        _check_strings(payload.get("tensor_meta"), "tensor_meta")


def _check_model(model: Any) -> None:
    for name in model.get("range_constraints") or {}:
        _check_expression(name)
    if model["graph_module"].get("treespec_namedtuple_fields"):
        raise UnsafeProgramError("its inputs or outputs are of a class of its own")
    _check_strings(model, "")


def _check_strings(value: Any, key: str) -> None:
    """Walk over everything that a model holds; a text is judged by the key under which it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_name(str(name))
            _check_strings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            _check_strings(inner, key)
    elif isinstance(value, str):
        _check_text(value, key)


def _check_text(text: str, key: str) -> None:
    if key == "expr_str":
        _check_expression(text)
    elif key in {"in_spec", "out_spec"}:
        _check_tree(json.loads(text))
    elif key in {"target", "as_operator"}:
        if not OPERATORS.fullmatch(text) or FILE_OPERATORS.fullmatch(text):
            raise UnsafeProgramError(f"its graph calls {text!r}, which is no known operator")
    elif key not in FREE_TEXT and not key.startswith("as_string"):
        _check_name(text)


def _check_name(text: str) -> None:
    """Names end up in generated source, so they must be names."""
    if not NAME.fullmatch(text):
        raise UnsafeProgramError(f"it holds {text[:60]!r} where a name is expected")


def _check_tree(tree: Any) -> None:
    """Only plain containers: every other type may import what its context names."""
    nodes = tree[1:] if isinstance(tree, list) else [tree]
    for node in nodes:
        plain = isinstance(node, dict) and node.get("type") in TREE_TYPES and "__enum__" not in str(node["context"])
        if not plain:
            raise UnsafeProgramError("its inputs or outputs are of a class of its own")
        context = json.loads(node["context"]) if node["context"] else None
        for name in context if isinstance(context, list) else []:
            _check_name(str(name))
        for child in node["children_spec"]:
            _check_tree(child)


def _check_expression(text: str) -> None:
    """Sizes are evaluated as Python, so they may hold arithmetic, symbols and known functions only."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        raise UnsafeProgramError(f"the size {text[:60]!r} is no formula") from None
    for node in ast.walk(tree):
        allowed = isinstance(node, EXPRESSION_NODES)
        if isinstance(node, ast.Call):
            allowed = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
        elif isinstance(node, ast.Name):
            allowed = node.id in FUNCTIONS or bool(re.fullmatch(r"[a-z]{1,3}\d+|int_oo|oo", node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            allowed = node.value.isidentifier() and not node.value.startswith("__")
        if not allowed:
            raise UnsafeProgramError(f"the size {text[:60]!r} is no plain formula")
