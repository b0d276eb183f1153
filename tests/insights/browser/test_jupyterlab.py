"""The widget in a real JupyterLab with a real kernel, used in a real browser."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.insights.browser.conftest import require

ROOT = Path(__file__).parents[3]
SOON = 30_000
"""Milliseconds after which something that should happen has not."""
RENDERS = """\
import time
from pellucid.insights.line import Cancelled
from pellucid.insights.widget import InsightsWidget
from tests.insights.shows import images

desk = images().desk
cancelled = []

class Slow:
    \"\"\"The desk, but deconvolution takes until nobody waits for it.\"\"\"
    title = desk.title

    def answer(self, route, body, line):
        if route == "explain" and body.method == "deconvolution":
            while not line.cancelled():
                line.send({"kind": "progress", "text": "slow work", "done": 0, "total": None})
                time.sleep(0.05)
            cancelled.append(body.example)
            raise Cancelled
        desk.answer(route, body, line)

widget = InsightsWidget(Slow())
widget
"""
BUSY = """\
while not (cancelled and widget.flagged):
    time.sleep(0.02)
print("cancelled", set(cancelled), "flagged", widget.flagged)
"""
SETS = """\
widget.flagged = [0, 3]
"""
CLOSES = """\
import threading
widget.close()
print([t.name for t in threading.enumerate() if t.name.startswith("pellucid")])
"""


def cell(source):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": secrets.token_hex(4),
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def notebook(*sources):
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": [cell(s) for s in sources], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab:
    """A JupyterLab in a folder of its own; ``close`` ends it and every process it has started."""

    def __init__(self, folder):
        self.token, self.port = secrets.token_hex(16), free_port()
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        (folder / "work").mkdir()
        (folder / "work" / "page.ipynb").write_text(json.dumps(notebook(RENDERS, BUSY, SETS, CLOSES)))
        own = {"HOME": "home", "IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
        own |= {"JUPYTER_RUNTIME_DIR": "runtime"}
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self.environment = {
            **os.environ,
            **{name: str(folder / place) for name, place in own.items()},
            "PYTHONPATH": paths,
            "OMP_NUM_THREADS": "1",
        }
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": folder / "work",
            "IdentityProvider.token": self.token,
            "LabApp.user_settings_dir": folder / "settings",
            "LabApp.workspaces_dir": folder / "workspaces",
            "LabApp.extension_manager": "readonly",
            "ServerApp.terminals_enabled": False,
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        self.log = folder / "jupyterlab.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in options.items())],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/lab/tree/page.ipynb?token={self.token}"

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                address = f"http://127.0.0.1:{self.port}/api/status?token={self.token}"
                with urllib.request.urlopen(address, timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def close(self):
        import psutil

        ended = self.process.poll() is not None
        children = [] if ended else psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        _, alive = psutil.wait_procs(children, timeout=5)
        for child in alive:
            child.kill()
        psutil.wait_procs(alive, timeout=5)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    require("jupyterlab", "ipykernel")
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        made.wait()
        yield made
    finally:
        made.close()


@pytest.fixture
def tab(lab, browser, shot):
    context = browser.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    page.set_default_timeout(SOON)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(lab.address)
    yield page
    shot(page, "jupyterlab-last")  # tells what went wrong, if anything did
    context.close()


def run_cell(tab, number):
    """Run one cell, as Ctrl+Enter does, and return it once the kernel has begun with it."""
    found = tab.locator(".jp-Notebook .jp-CodeCell").nth(number)
    found.scroll_into_view_if_needed()
    found.locator(".jp-InputArea-prompt").click()
    tab.keyboard.press("Control+Enter")
    tab.wait_for_function(
        "(cell) => cell.querySelector('.jp-InputArea-prompt').innerText !== '[ ]:'", arg=found.element_handle()
    )
    return found


def choose(inside, method):
    inside.get_by_label("Method").select_option(label=method)


def explained(inside, method):
    inside.locator(".method-title", has_text=method).wait_for()


def test_a_notebook_shows_explains_cancels_and_flags(tab, shot):
    tab.locator("#jp-main-statusbar", has_text="Python 3 (ipykernel) | Idle").wait_for()

    inside = run_cell(tab, 0).locator(".pellucid-insights")
    explained(inside, "Integrated gradients")
    rows = inside.get_by_role("listbox", name="Examples").get_by_role("option")
    rows.filter(has_text="example 4").wait_for()
    rows.locator("img").first.wait_for()
    choose(inside, "Saliency")
    explained(inside, "Saliency")
    shot(tab, "jupyterlab")

    # While a cell runs, the page cancels, asks and flags: the cell ends because of what the page does.
    choose(inside, "Deconvolution")
    inside.get_by_text("slow work").first.wait_for()
    busy = run_cell(tab, 1)
    tab.wait_for_timeout(300)  # the slow answer goes on meanwhile, and must not lead the page's messages to the cell
    choose(inside, "GradientSHAP")
    explained(inside, "GradientSHAP")
    rows.filter(has_text="example 2").click()
    inside.get_by_role("heading", name="example 2").wait_for()
    explained(inside, "GradientSHAP")
    assert busy.locator(".jp-InputArea-prompt").inner_text() == "[*]:"
    inside.get_by_role("button", name="Flag", exact=True).click()
    busy.locator(".jp-OutputArea-output", has_text="cancelled {0} flagged [2]").wait_for()

    # What Python flags, the page shows.
    run_cell(tab, 2)
    inside.get_by_role("button", name="Flag", exact=True, pressed=False).wait_for()
    rows.filter(has_text="example 3").get_by_text("★").wait_for()
    assert ["★" in rows.nth(n).inner_text() for n in range(4)] == [True, False, False, True]

    closes = run_cell(tab, 3)
    closes.locator(".jp-OutputArea-output", has_text="[]").wait_for()
    inside.wait_for(state="detached")
    assert tab.complaints == []
