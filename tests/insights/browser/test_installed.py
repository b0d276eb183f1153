"""The wheel in an environment of its own, without Node: the app is served from what the wheel holds."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the interpreter of a new environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")

    def run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    [wheel] = folder.glob("*.whl")
    pip = (python, "-m", "pip", "install", "-q", "--constraint", ROOT / "constraints.txt")
    run(*pip, "torch")
    run(*pip, f"pellucid[insights] @ {wheel.as_uri()}")
    return python


def test_the_wheel_serves_the_app(installed, visit, tmp_path):
    alone = {"PATH": str(installed.parent), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    alone |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    command = [installed, "-m", "pellucid.insights.example", "tumours"]
    with subprocess.Popen(command, env=alone, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)[0]
            page = visit(address)
            page.locator(".method-title", has_text="Integrated gradients").wait_for()
            token = address.partition("token=")[2]
            request = urllib.request.Request(
                address.partition("?")[0] + "api/about",
                b"{}",
                {"Content-Type": "application/json", "X-Pellucid-Token": token},
            )
            with urllib.request.urlopen(request) as answer:
                assert json.loads(answer.read())["title"] == "Tumours"
        finally:
            process.terminate()
