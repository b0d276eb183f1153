"""The page as a file, opened from the disk without any server."""

import pytest

from pellucid.insights import FilterConfig
from tests.insights.shows import SHOWS


@pytest.mark.parametrize("name", SHOWS)
def test_a_file_is_opened_from_disk(name, browser, shot, tmp_path):
    shown = SHOWS[name]()
    path = tmp_path / "page.html"
    shown.to_html(path, methods=["integrated_gradients", "deep_lift"], config=FilterConfig(num_examples=3))
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 800})
    page, complaints, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.locator(".method-title", has_text="Integrated gradients").first.wait_for()
    page.get_by_label("Method").select_option("deep_lift")
    page.locator(".method-title", has_text="DeepLIFT").first.wait_for()
    page.keyboard.press("j")
    page.get_by_role("heading", name="example 1", exact=True).wait_for()
    page.locator(".method-title", has_text="DeepLIFT").first.wait_for()
    assert page.get_by_label("Method").locator("option").count() == 2
    shot(page, f"file-{name}")
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
