"""Running tests on a mutant: in a child process that imports the changed module in the place of the file's."""

import contextlib
import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import IO

import pytest

from tests.mutation.mutants import mutated

MEMORY = 16 * 2**30
"""Bytes of address space that a mutant may ask for."""


OPTIONS = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:pytest_cov"]
OPTIONS += ["--assert=plain"]  # the rewriter would load a file whose doctests run by itself, without the change


class _Mutated(SourceFileLoader):
    """Loads one module with one place changed; nothing is written."""

    def __init__(self, fullname: str, path: str, number: int) -> None:
        super().__init__(fullname, path)
        self.number = number

    def get_code(self, fullname):
        return compile(mutated(Path(self.path).read_text(), self.number), self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, path: Path, number: int) -> None:
        self.name, self.path, self.number = name, str(path), number

    def find_spec(self, fullname, path, target=None):
        if fullname != self.name:
            return None
        loader = _Mutated(fullname, self.path, self.number)
        folder = [str(Path(self.path).parent)] if Path(self.path).name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=folder
        )


class UnfitTestsError(Exception):
    """The tests do not even run on the code as it is."""


def notices(name: str, path: Path, number: int, tests: list[str], limit: float) -> str | None:
    """Run tests on a mutant, and tell what noticed it.

    Where they cannot run at all, they must run without the change: else nothing is known about the mutant.

    Args:
        name: dotted name of the module.
        path: its file.
        number: the changed place.
        tests: addresses of tests.
        limit: seconds after which it counts as noticed.

    Returns:
        "a test", "an error", "time", or ``None`` if nothing noticed it.
    """
    code, _ = _outcome(name, path, number, tests, limit)
    if code in {0, 1, None}:
        return {0: None, 1: "a test", None: "time"}[code]
    plain, said = _outcome(name, path, None, tests, limit)
    if plain != 0:
        raise UnfitTestsError(said)
    return "an error"


def _outcome(name: str, path: Path, number: int | None, tests: list[str], limit: float) -> tuple[int | None, str]:
    """Exit status of the tests, ``None`` past the limit, and what they said."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _run(name, path, number, tests, output)
        status = _waited(child, limit)
        output.seek(0)
        said = output.read()[-2000:].decode(errors="replace")
    return None if status is None else os.waitstatus_to_exitcode(status), said


def _run(name: str, path: Path, number: int | None, tests: list[str], output: IO[bytes]) -> None:
    """Be the child."""
    code = 70
    with contextlib.suppress(BaseException):
        os.setsid()
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if number is not None:
            sys.meta_path.insert(0, _Finder(name, path, number))
        code = int(pytest.main([*OPTIONS, *tests]))
    os._exit(code)


def _waited(child: int, limit: float) -> int | None:
    """Wait for the child; past the limit it is ended."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
