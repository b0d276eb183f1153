"""Names of tests, looked up in their files without running anything."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent


@functools.cache
def _names_in(path):
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def is_test(node):
    """Tell whether ``path::name`` names a test."""
    path, _, name = node.partition("::")
    return name in _names_in(path)
