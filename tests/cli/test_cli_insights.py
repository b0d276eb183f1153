"""``pellucid insights``: models and data of every kind as one page."""

import json
import re
import urllib.request

import numpy as np
import pytest
import torch

import pellucid
from pellucid.cli._insights import Shown, visualizer_of
from tests.cli.test_cli_huggingface import text_model  # noqa: F401  (a fixture)


def answers_in(path):
    page = path.read_text()
    start = re.search(r'<script type="application/json" id="pellucid-start"[^>]*>(.*?)</script>', page, re.DOTALL)
    return json.loads(start[1])["answers"]


def results(path):
    found = {}
    for key, events in answers_in(path).items():
        if key.startswith("explain "):
            question = json.loads(key.partition(" ")[2])
            found[question["model"], question["example"]] = events
    return found


def test_images_are_shown_as_they_are_and_normalised_for_the_model(pellucid_command, workplace):
    words = ("insights", "tiny_models:ready", "animals", "--out", "page.html", "--mean", "0.5", "--std", "0.25")
    done = pellucid_command(*words, "-m", "deep_lift", "--target", "label")
    assert done.exit_code == 0, done.output
    found = results(workplace / "page.html")
    assert len(found) == 4
    from PIL import Image
    from tiny_models import ready

    pixels = np.asarray(Image.open("animals/cat/1.png"), dtype=np.float32) / 255
    x = (torch.from_numpy(pixels.transpose(2, 0, 1))[None] - 0.5) / 0.25
    expected = pellucid.explain(ready, x, "deep_lift", 0).attributions.sum(1).flatten()
    assert found[0, 1][0]["label"] == 0
    shown = torch.tensor(found[0, 1][-1]["maps"][0]["values"])
    assert torch.allclose(shown, expected, rtol=1e-5, atol=1e-7)


def test_tables_and_two_models_side_by_side(pellucid_command, workplace):
    words = ("insights", "tiny_models:rows", "rows.csv", "--label", "risk", "--beside", "tiny_models:value")
    done = pellucid_command(*words, "--out", "page.html")
    assert done.exit_code == 0, done.output
    [about] = answers_in(workplace / "page.html")["about {}"]
    assert [model["name"] for model in about["models"]] == ["tiny_models:rows", "tiny_models:value"]
    found = results(workplace / "page.html")
    assert sorted(found) == [(model, row) for model in (0, 1) for row in (0, 1, 2)]
    assert found[0, 0][0]["inputs"][0]["names"] == ["age", "income", "size"]
    assert [found[0, row][0]["label"] for row in (0, 1, 2)] == [0, 1, 1]


def test_texts_of_a_hugging_face_folder(pellucid_command, workplace, text_model):  # noqa: F811
    (workplace / "lines.txt").write_text("good film\na bad film indeed\n")
    done = pellucid_command("insights", str(text_model), "lines.txt", "--out", "page.html")
    assert done.exit_code == 0, done.output
    found = results(workplace / "page.html")
    assert found[0, 0][-1]["verdict"]["level"] == "good"
    assert found[0, 0][0]["inputs"][0]["editable"]


def test_long_texts_are_cut_and_that_is_said(pellucid_command, workplace, text_model):  # noqa: F811
    done = pellucid_command("insights", str(text_model), "good film " * 50, "--out", "page.html")
    assert done.exit_code == 0, done.output
    assert "Only the first 32 tokens" in done.output


def options(**given):
    words = dict.fromkeys(Shown.__dataclass_fields__)
    words |= {"others": (), "method": "saliency", "target": "predicted", "examples": "all", "title": "t"}
    return Shown(**{**words, "grayscale": False, "open_page": False, "trust": False, **given})


def test_the_page_is_served(workplace):
    shown = visualizer_of(options(model="tiny_models:rows", data="rows.npy"), lambda line: None)
    with shown.serve() as server, urllib.request.urlopen(server.address) as page:
        assert b"pellucid-start" in page.read()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tiny_models:nothing", "rows.npy"), "returned a int"),
        (("tiny_models:rows", "nowhere.npy"), "does not exist"),
        (("tiny_models:rows", "rows.npy", "-m", "no_such"), "no_such"),
        (("tiny_models:rows", "rows.npy", "--target", "3"), "predicted or label"),
        (("tiny_models:rows", "rows.npy", "--classes", "a,b,c"), "3 names"),
        (("tiny_models:rows", "rows.npy", "--examples", "9-12"), "position 12"),
    ],
)
def test_what_cannot_be_used_is_refused(pellucid_command, words, said):
    done = pellucid_command("insights", *words, "--out", "page.html")
    assert done.exit_code == 2
    assert said in done.output


def test_a_model_that_raises_ends_with_its_message(pellucid_command):
    done = pellucid_command("insights", "tiny_models:Breaks", "rows.npy", "--out", "page.html")
    assert done.exit_code == 1
    assert "the wheels came off" in done.output
