"""``python -m tests.mutation``: how many small errors in ``pellucid/_core`` does a test notice?"""

import contextlib
import hashlib
import importlib
import math
import os
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import torch

from tests.mutation.evidence import Evidence
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trial import notices

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "pellucid" / "_core"
GOAL = 0.85


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Bounds of a share of which ``hits`` of ``count`` were seen, with 95 % confidence (Wilson, 1927)."""
    share, width = hits / count, z * z / count
    middle = (share + width / 2) / (1 + width)
    half = z * math.sqrt(share * (1 - share) / count + width / (4 * count)) / (1 + width)
    return middle - half, middle + half


def module_of(path: Path) -> str:
    """Dotted name of a file under ``src``."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def drawn(everything: list[tuple[Path, Mutant]], seed: int) -> list[tuple[Path, Mutant]]:
    """Put mutants into a random order that a change of other code does not change, so that samples stay comparable."""
    seen: Counter[str] = Counter()
    order = []
    for path, mutant in everything:
        words = f"{seed} {path.relative_to(ROOT)} {mutant.before} -> {mutant.after}"
        order.append(hashlib.sha256(f"{words} {seen[words]}".encode()).digest())
        seen[words] += 1
    return [everything[i] for i in sorted(range(len(order)), key=order.__getitem__)]


@click.command()
@click.option("--count", default=300, help="Number of mutants.")
@click.option("--seed", default=0, help="Of the sample.")
@click.option("--only", default="", help="Only files whose path holds this.")
@click.option("--budget", default=8.0, help="Seconds that the chosen tests of a mutant are expected to take.")
@click.option("--coverage", default=ROOT / ".coverage", type=Path, help="Coverage data with a context per test.")
@click.option("--report", default=ROOT / "build" / "tests.xml", type=Path, help="Durations of the tests.")
@click.option("--show", is_flag=True, help="Print every mutant, not only the survivors.")
def main(count: int, seed: int, only: str, budget: float, coverage: Path, report: Path, show: bool) -> None:
    """Change lines of the core one at a time and tell how many changes a test notices."""
    if not coverage.exists() or not report.exists():
        raise click.ClickException(f"{coverage} or {report} is missing: make test writes them")
    torch.set_num_threads(1)
    for library in ("captum.attr", "hypothesis", "sklearn.linear_model", "torch._dynamo", "tqdm", "transformers"):
        with contextlib.suppress(ImportError):
            importlib.import_module(library)  # once here, and not in every child
    os.chdir(ROOT)
    files = sorted(p for p in CORE.rglob("*.py") if only in str(p))
    sources = {path: path.read_text() for path in files}
    everything = [(path, mutant) for path in files for mutant in mutants(sources[path])]
    chosen = drawn(everything, seed)[:count]
    evidence = Evidence.read(coverage, report, files)
    begin, noticed, survivors = time.monotonic(), 0, []
    for path, mutant in chosen:
        by, tried = None, set()
        for seconds in (budget / 8, budget):  # most changes are noticed at once
            tests = [name for name in evidence.tests_for(path, mutant, seconds) if name not in tried]
            tried.update(tests)
            limit = 10 + 3 * sum(evidence.seconds[t] for t in tests)
            by = notices(module_of(path), path, mutant.number, tests, limit) if tests else None
            if by is not None:
                break
        noticed += by is not None
        line = f"{path.relative_to(ROOT)}:{mutant.lines[0]}: {mutant.before}  ->  {mutant.after}".replace("\n", " / ")
        said = f"{by or 'SURVIVES'} ({len(tried)} tests)  {line[:240]}"
        if by is None:
            survivors.append(said)
        if show or by is None:
            click.echo(said)
            sys.stdout.flush()
    low, high = wilson(noticed, len(chosen))
    click.echo(
        f"{noticed} of {len(chosen)} mutants (of {len(everything)}) were noticed: {noticed / len(chosen):.1%},"
        f" 95 % interval {low:.1%} to {high:.1%}; {time.monotonic() - begin:.0f} s"
    )
    if high < GOAL:
        raise click.ClickException(f"the score lies below {GOAL:.0%}")


if __name__ == "__main__":
    main()
