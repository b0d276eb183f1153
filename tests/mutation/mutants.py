"""Small changes of a source file, each of which some test should notice.

What no user can notice is left alone: strings, messages of errors and warnings, ``__repr__``, annotations, decorators,
progress bars, guards of our own loops (``zip(strict=True)``), sizes of caches and passes, whole numbers at the top of
a module, whether a tolerance includes its bound (``> 1e-9`` or ``>= 1e-9``; the tolerance itself is changed), and calls
of ``torch.cuda``, which do nothing where the tests run.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

SPEAKING = {
    "invalid_value",
    "invalid_type",
    "notify",
    "warn",
    "UnsupportedModelError",
    "NotExpandableError",
    "documented",
}
"""Functions whose arguments are words for the user."""
BUILT_IN = {"int", "float", "bool", "complex", "str", "list", "tuple", "dict", "slice", "type"}
"""Types, which ``|`` joins."""
TOLERANCE = 1e-3
"""Numbers up to this are tolerances where something is compared with them."""
SILENT = {"__repr__", "__str__", "shown", "_shown", "_sentence"}
"""Functions that only make words."""

_COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_ORDERED = {ast.Lt, ast.LtE, ast.Gt, ast.GtE}
_JOINED = {ast.And: ast.Or, ast.Or: ast.And}


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        number: of the changed place, in the order of ``places``.
        lines: first and last line of the place.
        before: its source.
        after: what stands there instead.
        function: lines of the function around it, if any.
    """

    number: int
    lines: tuple[int, int]
    before: str
    after: str
    function: tuple[int, int] | None


def mutants(source: str) -> list[Mutant]:
    """List the changes of a source."""
    tree = ast.parse(source)
    spans = [(n.lineno, n.end_lineno or n.lineno) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    found = []
    for number, (parent, field, index) in enumerate(places(tree)):
        node = _node(parent, field, index)
        changed = _changed(node)
        if changed is None:
            continue
        lines = (node.lineno, node.end_lineno or node.lineno)
        around = [s for s in spans if s[0] <= lines[0] and lines[1] <= s[1]]
        function = max(around, default=None)
        found.append(Mutant(number, lines, ast.unparse(node), ast.unparse(changed), function))
    return found


def mutated(source: str, number: int) -> ast.Module:
    """Parse a source with one place changed; all lines keep their numbers."""
    tree = ast.parse(source)
    parent, field, index = list(places(tree))[number]
    node = _node(parent, field, index)
    changed = _changed(node)
    if changed is None:
        raise ValueError(f"place {number} is not changed")
    changed = ast.copy_location(changed, node)
    if index is None:
        setattr(parent, field, changed)
    else:
        getattr(parent, field)[index] = changed
    return ast.fix_missing_locations(tree)


Place = tuple[ast.AST, str, int | None]


def _node(parent: ast.AST, field: str, index: int | None) -> ast.expr | ast.stmt:
    value = getattr(parent, field)
    return value if index is None else value[index]


def places(node: ast.AST, top: bool = True) -> Iterator[Place]:
    """Walk through the expressions and statements that may be changed, as places in their parents.

    Yields:
        Parent, field and index of each.
    """
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_comment"}:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_left_alone(child, top):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield node, field, index
            if not _speaks(child):
                yield from places(child, top and not isinstance(child, ast.FunctionDef))


def _is_left_alone(node: ast.AST, top: bool) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in SILENT
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # it only guards against errors of our own
    if isinstance(node, ast.Expr | ast.Call):
        return ast.unparse(node).startswith(("bar.update(", "torch.cuda."))  # progress; what no card is there to show
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        return any(name[0].isupper() or name in BUILT_IN for name in names)
    if isinstance(node, ast.Assign | ast.AnnAssign) and top:
        values = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
        plain = all(isinstance(n, ast.Constant | ast.BinOp | ast.operator) for n in ast.walk(node.value or ast.Pass()))
        return plain and all(isinstance(v, int) for v in values)
    return isinstance(node, ast.JoinedStr)


def _speaks(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return True
    name = node.func if isinstance(node, ast.Call) else None
    return getattr(name, "id", getattr(name, "attr", None)) in SPEAKING or ast.unparse(node) in UNSEEN


UNSEEN = {"super().__init__()"}
"""Calls that do nothing here."""


def _turns(test: ast.expr) -> bool:
    """Tell whether another mutant turns a test round already."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and not isinstance(test.ops[0], tuple(_ORDERED))
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def _tolerates(node: ast.Compare) -> bool:
    """Tell whether a comparison is with a tolerance: nothing depends on which side the bound itself falls."""
    values = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    rounding = any(isinstance(n, ast.Attribute) and n.attr == "eps" for n in ast.walk(node))
    return rounding or any(0 < value <= TOLERANCE for value in values)


def _changed(node: ast.expr | ast.stmt) -> ast.expr | ast.stmt | None:
    """The changed node, or ``None`` for one that stays."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[op]) if type(op) in _COMPARED and not (type(op) in _ORDERED and _tolerates(node)):
            new.ops = [_COMPARED[type(op)]()]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COMPUTED:
            new.op = _COMPUTED[type(op)]()
        case ast.BoolOp(op=op):
            new.op = _JOINED[type(op)]()
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            return operand
        case ast.Constant(value=bool(value)):
            new.value = not value
        case ast.Constant(value=int(value)):
            new.value = value + 1
        case ast.Constant(value=float(value)):
            new.value = 2 * value + 1
        case ast.If(test=test) | ast.IfExp(test=test) if not _turns(test):
            new.test = ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr()) if not isinstance(new.value, ast.Constant):
            new.value = ast.Constant(None)
        case ast.Expr(value=ast.Call()) if not _speaks(new.value):
            return ast.Pass()
        case ast.Raise(exc=ast.expr()):
            return ast.Pass()
        case ast.Break():
            return ast.Continue()
        case ast.Continue():
            return ast.Break()
        case _:
            return None
    return new
