"""A real Chromium, pages that keep what they complain about, and a folder for screenshots."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

SOON = 15_000
"""Milliseconds after which something that should happen has not."""
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")


def require(*packages):
    """Skip a test that lacks something; where CI is set, fail it."""
    lacks = [name for name in packages if importlib.util.find_spec(name) is None]
    lacks += [] if CHROMIUM else ["chromium"]
    if lacks:
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse(f"needs {', '.join(lacks)}: make browser installs the packages")


def pytest_collection_modifyitems(items):
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    require("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


@pytest.fixture
def shot(request, tmp_path):
    """Return a function that keeps a screenshot, as a test artefact where a folder for them is given."""
    folder = Path(os.environ.get("PELLUCID_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page, name):
        page.screenshot(path=folder / f"{name}.png")

    return keep


@pytest.fixture
def visit(browser):
    """Return a function that opens an address; no page may complain, or ask another host for anything."""
    contexts, complaints, abroad = [], [], []

    def open_page(address, **options):
        settings = {"viewport": {"width": 1360, "height": 900}, "accept_downloads": True, **options}
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(SOON)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        home = address.split("/?")[0]
        page.on("request", lambda r: abroad.append(r.url) if not r.url.startswith((home, "data:", "blob:")) else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert abroad == []
