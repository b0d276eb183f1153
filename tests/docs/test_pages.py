"""What pages show is what they do: their code is executed when the site is built."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXECUTED = [DOCS / "start.md", DOCS / "faq.md", *sorted(DOCS.glob("tasks/*.md")), *sorted(DOCS.glob("tutorials/*.md"))]
SOURCES = [*(path for path in DOCS.rglob("*.md") if "_build" not in path.parts), DOCS.parent / "README.md"]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_code_is_executed(path):
    text = path.read_text()
    assert "```python" not in text
    assert ("{code-cell}" in text) == ("file_format: mystnb" in text)


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for path in SOURCES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(), re.DOTALL):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(path.parent / f"{line}.md").resolve() for line in lines}
    pages = {path.resolve() for path in SOURCES if path.is_relative_to(DOCS)} - {(DOCS / "index.md").resolve()}
    assert pages == listed


def test_every_reference_is_cited():
    keys = set(re.findall(r"^@\w+\{(\w+),", (DOCS / "references.bib").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in [*SOURCES, DOCS / "_ext" / "methods.py"])
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_links_to_files_lead_somewhere(path):
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
        assert (path.parent / target).exists(), target
