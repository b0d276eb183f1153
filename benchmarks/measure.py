"""Time, interleaved, and peak memory, each in a process of its own."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch

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


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int, warm: bool = False) -> dict[str, float]:
    """Median seconds of each function; the functions take turns, so that noise hits all of them alike.

    CPU seconds of the process are counted: on a shared machine they say what the work costs. Each function is called
    once before, unless they are ``warm``.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values() if not warm else ():
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


def rounds_within(functions: Mapping[str, Callable[[], object]], seconds: float, least: int, most: int) -> int:
    """Give how many rounds of all functions take about so many CPU seconds; each is called once to find out."""
    start = time.process_time()
    for function in functions.values():
        function()
    once = max(time.process_time() - start, 1e-6)
    return max(least, min(most, int(seconds / once)))


def peaks_in_child(prepare: Callable[..., list[Callable[[], object]]], *arguments: object) -> list[float]:
    """Megabytes by which the peaks of calls lie above what a process holds after its preparation (Linux).

    The process is forked from one that has imported torch and both libraries and done nothing else, so that it starts
    in a second. The first call is a small one for warming up and is not reported.

    Args:
        prepare: makes the calls, in the child; found by its name, as are its arguments.
        *arguments: of ``prepare``.

    Returns:
        A peak for each call but the first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "captum.attr", "captum.metrics", "captum.robust", "pellucid"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_send_peaks, args=(send, prepare, arguments))
    process.start()
    send.close()
    try:
        found = receive.recv()
    finally:
        process.join()
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def _send_peaks(send: Connection, prepare: Callable[..., list[Callable[[], object]]], arguments: tuple) -> None:
    try:
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        first, *calls = prepare(*arguments)
        first()
        gc.collect()
        before = _status("VmRSS")
        peaks = []
        for call in calls:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
            call()
            peaks.append(_status("VmHWM") - before)
        send.send(peaks)
    except Exception as error:
        send.send(f"{type(error).__name__}: {error}")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
