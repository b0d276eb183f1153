"""The front end as one module and one page: nothing imported, no name twice, no data that becomes markup."""

import json
import re
import shutil
import subprocess

import pytest

from pellucid.insights import bundle

MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML", "document.write", 'style="')
CODE = ("eval(", "new Function", 'setTimeout("')
NAMES = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
HOSTILE = "</script><script>alert(1)</script><!-- & \u2028 \u2029 ]]> 'quotes' \"and\" {{ 7 * 7 }}"
START = {"transport": "static", "answers": {HOSTILE: [HOSTILE]}}


def files():
    return sorted(path for path in bundle.PAGE.glob("*.js"))


def test_every_file_is_part_of_the_module():
    assert {path.name for path in files()} | {bundle.VENDORED} == set(bundle.modules())


def test_modules_come_after_those_that_they_import():
    order = bundle.modules()
    for path in files():
        for needed in re.findall(r'from "\./([\w./-]+)"', path.read_text()):
            assert order.index(needed) < order.index(path.name), f"{path.name} comes before {needed}"


def test_every_imported_name_is_exported():
    exported = {
        path.name: set(re.findall(r"^export (?:function|const|class) (\w+)", path.read_text(), re.M))
        for path in files()
    }
    exported[bundle.VENDORED] = vendored_names()
    for path in files():
        for names, source in re.findall(r'^import \{([^}]*)\} from "\./([\w./-]+)";$', path.read_text(), re.MULTILINE):
            wanted = {name.strip() for name in names.split(",")}
            assert wanted <= exported[source], f"{path.name}: {wanted - exported[source]}"


def vendored_names():
    heads = re.findall(r"^const \{([^}]*)\} = \(\(\) => \{$", bundle.module(), re.MULTILINE)
    assert len(heads) == 1
    return {name.strip() for name in heads[0].split(",")}


def test_the_vendored_library_gives_its_exports():
    assert {"html", "render", "useState", "useEffect", "useErrorBoundary"} <= vendored_names()
    licences = {path.name for path in (bundle.PAGE / "vendor").glob("LICENSE*")}
    assert licences == {"LICENSE.htm.txt", "LICENSE.preact.txt"}


def test_the_module_imports_nothing_and_exports_one_thing():
    text = bundle.module()
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default {"]
    assert "://" not in text.replace("http://www.w3.org/", "")  # names of XML vocabularies, not addresses


def test_names_are_unique():
    found = [name for path in files() for name in NAMES.findall(path.read_text())]
    found += vendored_names()
    assert len(found) == len(set(found)), {name for name in found if found.count(name) > 1}


def test_files_are_short():
    for path in files():
        assert len(path.read_text().splitlines()) < 300, path.name


def test_a_browser_would_read_it(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    target = tmp_path / "module.mjs"
    target.write_text(bundle.module(), encoding="utf-8")
    done = subprocess.run([node, "--check", str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_styles_stay_below_the_page():
    """Every rule concerns the page alone, also in a notebook: outside its class stand only conditions."""
    depth, outside = 0, []
    text = re.sub(r"/\*.*?\*/", "", bundle.stylesheet(), flags=re.DOTALL)
    for piece in re.findall(r"[^{}]*[{}]", text):
        head = piece[:-1].strip()
        if piece.endswith("}"):
            depth -= 1
            continue
        if not head.startswith("@") and depth == 0:
            outside += [one.strip() for one in head.split(",")]
        depth += 1
    assert outside
    assert depth == 0
    assert all(re.search(r"\.pellucid-(insights|page)\b", one) for one in outside)
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.parametrize("nonce", [None, "abc123"])
def test_hostile_data_stays_data(nonce):
    text = bundle.page(START, title=HOSTILE, nonce=nonce)
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "<!--" not in text.removeprefix("<!doctype html>")
    assert "49" not in re.search(r"<title>(.*?)</title>", text).group(1)
    stored = re.search(r'<script type="application/json" id="pellucid-start"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert json.loads(stored.group(1)) == START
    assert "alert(1)</script>" not in stored.group(1)


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        bundle.page({"answers": {"a": [float("nan")]}}, title="t", nonce=None)


def test_a_saved_page_forbids_everything_but_itself():
    text = bundle.page(START, title="t", nonce=None)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    assert "unsafe" not in policy
    assert "nonce" not in text.split("<script")[0]


def test_a_served_page_carries_the_nonce_of_its_answer():
    text = bundle.page({"transport": "http", "token": "t"}, title="t", nonce="abc123")
    assert "Content-Security-Policy" not in text
    assert text.count('nonce="abc123"') == 3


def test_nothing_makes_markup_or_code_from_text():
    for path in files():
        text = path.read_text()
        assert not [word for word in (*MARKUP, *CODE) if word in text], path.name
