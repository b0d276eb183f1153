"""Which tests reach a line, and how long they take: recorded by ``make test``."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData

from tests.mutation.mutants import Mutant

PER_TEST, PER_FILE = 0.005, 0.05
"""Seconds that a test takes beside its own, and its file to be imported."""


@dataclass(frozen=True)
class Evidence:
    """What a run of the tests told.

    Attributes:
        seconds: duration of each test that passed, by its address.
        reached: for each file the tests that reached each line.
    """

    seconds: dict[str, float]
    reached: dict[Path, dict[int, list[str]]]

    @classmethod
    def read(cls, coverage: Path, report: Path, files: list[Path]) -> "Evidence":
        """Read a coverage file with contexts and a report in JUnit's format."""
        seconds = {}
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            if len(case) == 0 and " at 0x" not in case.get("name", ""):  # passed, and has the same name next time
                place = case.get("classname", "").replace(".", "/")
                seconds[f"{place}.py::{case.get('name')}"] = float(case.get("time", "0"))
        data = CoverageData(str(coverage))
        data.read()
        reached = {}
        for path in files:
            lines = data.contexts_by_lineno(str(path))
            reached[path] = {
                line: [name for c in contexts if (name := c.rpartition("|")[0]) in seconds]
                for line, contexts in lines.items()
            }
        return cls(seconds, reached)

    def tests_for(self, path: Path, mutant: Mutant, budget: float) -> list[str]:
        """Choose tests that reach a mutant's lines.

        A quarter of the budget goes to tests of each way through the function and then the file: for each line the
        fastest test, lines that few reach first. The rest goes to the fastest tests, many kinds before many of a kind.
        What runs while a module is imported belongs to no test: then those that reach the function, or the file.
        """
        lines = self.reached[path]
        whole = (1, 10**6)
        function = mutant.function or whole
        for first, last in (mutant.lines, function, whole):
            names = {name for line, found in lines.items() if first <= line <= last for name in found}
            if names:
                inside, outside = [], []
                for line, found in lines.items():
                    (inside if function[0] <= line <= function[1] else outside).append(names & set(found))
                ways = [*self._ways(inside), *self._ways(outside)]
                return self._affordable((ways, budget / 4), (self._kinds(names), 3 * budget / 4))
        return []

    def _fastest(self, names: set[str]) -> list[str]:
        return sorted(names, key=lambda n: (self.seconds[n], n))

    def _ways(self, lines: list[set[str]]) -> list[str]:
        rarest = sorted((found for found in lines if found), key=len)
        return list(dict.fromkeys(self._fastest(found)[0] for found in rarest))

    def _kinds(self, names: set[str]) -> list[str]:
        kinds = defaultdict(list)
        for name in self._fastest(names):
            kinds[re.sub(r"\[.*", "", name)].append(name)
        ranked = sorted((rank, self.seconds[n], n) for group in kinds.values() for rank, n in enumerate(group))
        return [name for *_, name in ranked]

    def _affordable(self, *orders: tuple[list[str], float]) -> list[str]:
        chosen: dict[str, None] = {}
        opened: set[str] = set()
        left = 0.0
        for order, budget in orders:
            left += budget
            for name in order:
                file = name.partition("::")[0]
                cost = self.seconds[name] + PER_TEST + PER_FILE * (file not in opened)
                if name in chosen or (chosen and cost > left):
                    continue
                chosen[name] = None
                opened.add(file)
                left -= cost
        return list(chosen)
