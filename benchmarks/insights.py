"""How long the page takes to show its first result, and how it scrolls: ``python -m benchmarks.insights``.

Seconds are wall-clock ones of this machine, in a headless Chromium: from the request of the page to the first
attribution on it. Frames are those of a fast scroll through the whole list. Needs the extra ``browser`` and Chromium.
"""

from __future__ import annotations

import resource
import shutil
import time
from typing import Any

import torch

from pellucid.insights import AttributionVisualizer, Batch, ImageFeature
from pellucid.insights.example import convolutional

QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
REPEATS = 5
SCROLL = """async () => {
  const list = document.querySelector("[role=listbox]");
  let scrolled = list;
  while (scrolled.scrollHeight <= scrolled.clientHeight + 10) scrolled = scrolled.parentElement;
  const frames = [];
  let last = performance.now();
  for (let step = 0; step <= 120; step += 1) {
    scrolled.scrollTop = (scrolled.scrollHeight * step) / 120;
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  frames.sort((a, b) => a - b);
  return [frames[60], frames[119], document.querySelectorAll("[role=option]").length];
}"""


def digits(count: int) -> AttributionVisualizer:
    """Show so many scans of digits, repeated if need be, and an untrained network."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = torch.arange(count) % len(found.images)
    images = torch.tensor(found.images, dtype=torch.float32)[rows, None] / 16
    labels = torch.tensor(found.target)[rows]
    torch.manual_seed(0)
    data = (Batch(x, y) for x, y in zip(torch.split(images, 128), torch.split(labels, 128), strict=True))
    return AttributionVisualizer(convolutional().eval(), [str(i) for i in range(10)], ImageFeature("scan"), data)


def first_result(browser: Any, count: int) -> tuple[float, Any]:
    """Open a page anew; return the seconds to its first attribution, and the page."""
    server = digits(count).serve()
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    begin = time.perf_counter()
    page.goto(server.address)
    page.get_by_test_id("sums").first.wait_for()
    seconds = time.perf_counter() - begin
    page.get_by_text(f"{count:,} examples").wait_for()
    return seconds, (page, server)


def main() -> None:
    """Measure with a thousand examples and with ten thousand."""
    from playwright.sync_api import sync_playwright

    print(
        "examples | first result (s) | all predicted (s) | frame, median and worst (ms) | rows in the page | peak (MB)"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for count in (1000, 10_000):
            seconds, everything, frames = [], [], []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                first, (page, server) = first_result(browser, count)
                seconds.append(first)
                everything.append(time.perf_counter() - begin)
                frames.append(page.evaluate(SCROLL))
                page.close()
                server.close()
            median, worst, rows = sorted(frames)[REPEATS // 2]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            middle = [sorted(many)[REPEATS // 2] for many in (seconds, everything)]
            print(
                f"{count:>8} | {middle[0]:16.2f} | {middle[1]:17.2f} | {median:12.1f} {worst:15.1f} |"
                f" {rows:16} | {peak:9.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
