"""Put an image, a text and a table side by side on one page, after ``python -m examples.digits`` explained the scans.

Run it with ``python -m examples.overview``. The page is ``demo-report/index.html``, or lies in the folder given as the
only argument, beside the whole reports that it leads to.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pellucid
from examples import sentences
from examples.gallery import sentence, table
from pellucid import Explanation
from pellucid.report import Run, Section, render_overview, subject_of, write_report


def sections(out: Path) -> list[Section]:
    """Return what stands side by side: one entry for each kind of data."""
    scans = pellucid.load(out / "attributions" / "integrated_gradients.safetensors")
    cells = table()
    subject = replace(subject_of(cells), class_names=("malignant", "benign"))
    write_report(
        out / "table.html", [cells], subject, Run("What a small network sees in tumours", data="breast cancer")
    )
    text = sentence() if sentences.installed() else None
    return [
        Section(
            "Images: handwritten digits",
            scans,
            "Which pixels speak for the digit that the network reads? Lines are drawn between light and dark.",
            link="report.html",
        ),
        *([] if text is None else [similar(text)]),
        Section(
            "Tables: one tumour",
            cells,
            "How do its measurements lead from an average tumour to this score for malignant?",
            kind="waterfall",
            link="table.html",
        ),
        Section(
            "Tables: all tumours",
            cells,
            "In which direction does each measurement act, and how much?",
            kind="beeswarm",
        ),
    ]


def similar(text: Explanation) -> Section:
    """Return the words of a sentence, by what they do to its similarity with another."""
    return Section(
        "Text: why are two sentences similar?",
        text,
        f"What does each word add to the similarity, {float(text.outputs):.2f}, with"
        f" \N{LEFT DOUBLE QUOTATION MARK}{sentences.PAIRS[0][1]}\N{RIGHT DOUBLE QUOTATION MARK}?",
    )


def main() -> None:
    """Write the page."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-report")
    lead = "Orange raises the explained output, blue lowers it. Every picture carries its own check."
    page = render_overview("What small networks look at", sections(out), lead)
    (out / "index.html").write_text(page, encoding="utf-8")
    print(f"\nOpen {(out / 'index.html').resolve()} in a browser.")


if __name__ == "__main__":
    main()
