"""Time, interleaved, and peak memory, each in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

PROBE = """
import gc, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
{setup}
def status(field):
    line = next(line for line in open("/proc/self/status") if line.startswith(field))
    return int(line.split()[1]) / 1024
gc.collect()
open("/proc/self/clear_refs", "w").write("5")  # the peak starts again from here
before = status("VmRSS")
{statement}
print(status("VmHWM") - before)
"""


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each function; the functions take turns, so that noise hits all of them alike.

    CPU seconds of the process are counted: on a shared machine they say what the work costs.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_megabytes(setup: str, statement: str) -> float:
    """Megabytes by which a statement's peak lies above what a fresh process holds after its set-up (Linux)."""
    code = PROBE.format(setup=setup, statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
