"""The application over real models: every method that the page offers is answered, alone and among others alike."""

import asyncio
import json

import pytest

from pellucid.insights.server import app_of
from tests.insights.asgi import TOKEN, ask, close, exchanged
from tests.insights.shows import SHOWS

CHEAP = {"n_steps": 8, "n_samples": 4, "stdevs": 0.1, "perturbations_per_eval": 4}
"""Arguments with which methods take little time, where they have them."""


@pytest.fixture(scope="module", params=["images", "series"])
def app(request):
    made = app_of(SHOWS[request.param]().desk, TOKEN)
    yield made
    close(made)


@pytest.fixture(scope="module")
def about(app):
    return ask(app, "/api/about").lines[0]


def questions(about):
    """One question per method."""
    for place, method in enumerate(about["methods"]):
        known = {control["name"] for control in method["arguments"]}
        layer = about["models"][0]["layers"][0] if method["scope"] == "layer" else None
        arguments = {name: value for name, value in CHEAP.items() if name in known}
        target = "predicted"
        yield {"example": place % 3, "method": method["name"], "arguments": arguments, "layer": layer, "target": target}


def finite(found):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in found.body.splitlines()]


def told(found):
    """What an answer says, without the time that it took."""
    last = finite(found)[-1]
    return {key: last.get(key) for key in ("kind", "message", "maps", "sum", "delta", "warnings", "contributions")}


def test_every_method_is_answered_the_same_alone_and_among_others(app, about):
    bodies = [json.dumps(question).encode() for question in questions(about)]
    alone = [ask(app, "/api/explain", chunks=[body]) for body in bodies]
    for found, question in zip(alone, questions(about), strict=True):
        assert found.status == 200, found.body
        events = finite(found)
        assert events[0]["kind"] == "prediction"
        last = events[-1]
        assert last["kind"] == "result" or last["source"] == "question", (question["method"], last)
    assert sum(told(found)["kind"] == "result" for found in alone) > len(alone) / 2

    async def at_once():
        limit = asyncio.Semaphore(20)  # beyond, questions are put off

        async def one(body):
            async with limit:
                return await exchanged(app, "/api/explain", chunks=[body])

        return await asyncio.gather(*[one(body) for body in bodies])

    for before, found, body in zip(alone, asyncio.run(at_once()), bodies, strict=True):
        assert told(found) == told(before), body


def test_predictions_pictures_and_files(app, about):
    predictions = finite(ask(app, "/api/predictions"))
    rows = [row for event in predictions[:-1] for row in event["rows"]]
    assert [row["index"] for row in rows] == list(range(predictions[-1]["total"]))
    pictures = finite(ask(app, "/api/thumbnails", chunks=[b'{"examples": [2, 0]}']))
    assert [item["index"] for item in pictures[0]["items"]] == [2, 0]
    for form in about["forms"]:
        body = {"question": {"example": 1, "method": "saliency"}, "form": form}
        last = finite(ask(app, "/api/export", chunks=[json.dumps(body).encode()]))[-1]
        assert (last["kind"], bool(last["base64"])) == ("file", True)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"example": 999}, "999"),
        ({"example": -1}, "-1"),
        ({"example": 0, "method": "nowhere"}, "nowhere"),
        ({"example": 0, "model": 7}, "7"),
        ({"example": 0, "method": "saliency", "arguments": {"n_steps": 3}}, "n_steps"),
        ({"example": 0, "layer": "nowhere", "method": "layer_activation"}, "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(app, question, words):
    found = ask(app, "/api/explain", chunks=[json.dumps(question).encode()])
    assert found.status == 422
    assert words in found.message
