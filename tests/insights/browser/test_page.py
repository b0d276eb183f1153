"""The page in a real browser, served as users serve it: what can be done with it, and that its numbers are right."""

import json
import re
import time

import pytest
import torch
from torch import nn

import pellucid
from pellucid.insights import AttributionVisualizer, Batch, FilterConfig, GeneralFeature, PageConfig, example
from tests.insights.shows import doubled, halved, images, several, texts


def shown_number(value):
    """Write a number as the page does."""
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def titled(page, text):
    page.locator(".method-title", has_text=text).first.wait_for()


@pytest.fixture(scope="module")
def digits():
    with example.digits(epochs=2).serve() as server:
        yield server


@pytest.fixture(scope="module")
def tumours():
    visualizer = example.tumours(epochs=5)
    with visualizer.serve() as server:
        yield server, visualizer


def test_the_page_opens_filters_and_sorts(digits, visit, shot):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    count = page.get_by_test_id("count")
    page.get_by_text("899 examples").wait_for()
    shot(page, "digits")
    page.get_by_role("button", name=re.compile("^Wrong")).click()
    wrong = int(count.inner_text().split()[0])
    assert 0 < wrong < 899
    assert page.locator("[role=option]").first.get_by_text("true:").count() == 1
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_label("Confidence to, percent").fill("60")
    page.get_by_label("Confidence to, percent").press("Enter")
    fewer = "(n) => parseInt(document.querySelector('[data-testid=count]').innerText) < n"
    page.wait_for_function(fewer, arg=wrong)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_text("899 examples").wait_for()
    page.get_by_label("Find by name").fill("example 123")
    page.wait_for_function("() => document.querySelectorAll('[role=option]').length === 1")


def test_numbers_of_a_table_are_those_of_explain(tumours, visit):
    server, visualizer = tumours
    page = visit(server.address)
    titled(page, "Integrated gradients")
    exhibit = visualizer.desk._exhibit
    found = exhibit.examples[0]
    [x] = exhibit.inputs_of(found.raw)
    titles = {"integrated_gradients": "Integrated gradients", "deep_lift": "DeepLIFT", "lime": "LIME"}
    for method, title in titles.items():
        page.get_by_label("Method").select_option(method)
        titled(page, title)
        seed = {"seed": 0} if method == "lime" else {}
        expected = pellucid.explain(exhibit.models[0], x, method, found.label, **seed).attributions[0].double()
        order = expected.abs().argsort(descending=True)[:5].tolist()
        rows = page.locator("table.features tbody tr")
        for place, column in enumerate(order):
            text = rows.nth(place).inner_text()
            assert exhibit.features[0].categories[column] in text
            assert shown_number(float(expected[column])) in text
        assert shown_number(float(expected.sum())) in page.get_by_test_id("sums").inner_text()


def test_values_of_an_image_are_read_out(visit):
    visualizer = images()
    exhibit = visualizer.desk._exhibit
    x = doubled(exhibit.examples[0].raw[0])
    expected = pellucid.explain(exhibit.models[0], x, "deep_lift", 0, baselines=halved(x)).attributions[0, 0]
    with visualizer.serve() as server:
        page = visit(server.address)
        page.get_by_label("Method").select_option("deep_lift")
        titled(page, "DeepLIFT")
        heat = page.get_by_test_id("heat").first
        box = heat.bounding_box()
        for row, column in ((0, 0), (2, 3), (5, 5)):
            page.mouse.move(box["x"] + box["width"] * (column + 0.5) / 6, box["y"] + box["height"] * (row + 0.5) / 6)
            value = shown_number(float(expected[row, column]))
            page.get_by_text(re.compile(rf"row {row + 1}, column {column + 1}.*{re.escape(value)}")).first.wait_for()


def test_methods_arguments_targets_and_layers_can_be_chosen(digits, visit, shot):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    page.get_by_role("button", name="Arguments").click()
    page.get_by_label("n_steps", exact=True).fill("7")
    page.get_by_label("n_steps", exact=True).press("Enter")
    page.get_by_text(re.compile(r"1\d model rows")).first.wait_for()
    shot(page, "arguments")
    page.get_by_label("Method").select_option("grad_cam")
    page.get_by_label("Layer").select_option("2")
    titled(page, "Grad-CAM at 2")
    page.locator("figure img, img.figure").first.wait_for()
    page.get_by_label("Layer").select_option("0")
    titled(page, "Grad-CAM at 0")


def test_two_methods_and_two_models_side_by_side(digits, visit, shot):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    page.keyboard.press("c")
    panels = page.locator("article.panel")
    page.wait_for_function("() => document.querySelectorAll('article.panel .method-title').length === 2")
    second = panels.nth(1)
    second.get_by_label("Method").select_option("integrated_gradients")
    second.get_by_label("Model").select_option(label="dense")
    page.get_by_text(re.compile("similarity", re.IGNORECASE)).first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('article.panel .method-title').length === 2")
    shot(page, "compare")
    page.keyboard.press("c")
    page.wait_for_function("() => document.querySelectorAll('article.panel').length === 1")


def test_drawing_changes_prediction_and_attribution(digits, visit, shot):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    before = page.get_by_test_id("sums").inner_text()
    page.keyboard.press("e")
    page.get_by_role("toolbar", name="Editing").wait_for()
    paper = page.locator("figure", has_text="Input").locator(".map, .paper, canvas, img").first
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"], steps=8)
    page.mouse.up()
    page.get_by_test_id("before-after").first.wait_for()
    page.wait_for_function("(old) => document.querySelector('[data-testid=sums]')?.innerText !== old", arg=before)
    shot(page, "drawing")
    page.get_by_role("button", name="Reset", exact=True).click()
    page.wait_for_function("(old) => document.querySelector('[data-testid=sums]')?.innerText === old", arg=before)


def test_a_slider_changes_the_prediction(tumours, visit, shot):
    page = visit(tumours[0].address)
    titled(page, "Integrated gradients")
    before = page.get_by_test_id("sums").inner_text()
    page.keyboard.press("e")
    slider = page.locator("table input[type=range], .features input[type=range]").first
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.get_by_test_id("before-after").first.wait_for()
    page.wait_for_function("(old) => document.querySelector('[data-testid=sums]')?.innerText !== old", arg=before)
    shot(page, "slider")


def test_a_token_is_edited(visit, shot):
    with texts().serve() as server:
        page = visit(server.address)
        titled(page, "Integrated gradients")
        page.keyboard.press("e")
        page.get_by_role("button", name=re.compile("fine")).first.click()
        field = page.locator("input[type=text]:focus")
        field.fill("unkind")
        field.press("Enter")
        page.locator(".token", has_text="kind").first.wait_for()
        page.get_by_test_id("before-after").first.wait_for()
        shot(page, "token")


def test_the_arguments_that_python_chose_are_used(visit):
    config = PageConfig(filter=FilterConfig(attribution_arguments={"n_steps": 9}))
    with images(config=config).serve() as server:
        page = visit(server.address)
        page.get_by_text("14 model rows").first.wait_for()
        page.get_by_role("button", name="Arguments").click()
        steps = page.get_by_label("n_steps", exact=True)
        assert steps.input_value() == "9"
        steps.fill("auto")
        steps.press("Enter")
        page.wait_for_function("() => !document.body.innerText.includes('14 model rows')")
        titled(page, "Integrated gradients")


class Slow(nn.Module):
    """A model that takes its time."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        time.sleep(0.05 if x.shape[0] > 1 else 0)
        return self.inner(x)


def slow():
    torch.manual_seed(0)
    data = [Batch(torch.rand(4, 3), torch.tensor([0, 1, 0, 1]))]
    config = PageConfig("Slow", FilterConfig("saliency"))
    return AttributionVisualizer(Slow(), ["n", "y"], GeneralFeature("row", ["a", "b", "c"]), data, config=config)


def test_long_work_shows_progress_and_is_cancelled(visit, shot):
    visualizer = slow()
    with visualizer.serve() as server:
        page = visit(server.address)
        titled(page, "Saliency")
        page.get_by_label("Method").select_option("integrated_gradients")
        page.get_by_role("button", name="Arguments").click()
        page.get_by_label("internal_batch_size", exact=True).fill("2")
        page.get_by_label("n_steps", exact=True).fill("2000")
        page.get_by_label("n_steps", exact=True).press("Enter")
        page.get_by_role("progressbar").wait_for()
        page.get_by_text(re.compile("of [24].000")).first.wait_for()
        shot(page, "progress")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Cancelled.").first.wait_for()
        time.sleep(0.5)
        calls = visualizer.desk._exhibit.models[0].calls
        time.sleep(0.5)
        assert visualizer.desk._exhibit.models[0].calls == calls
        page.get_by_label("Method").select_option("saliency")
        titled(page, "Saliency")


def test_figures_and_flags_are_exported(digits, visit, tmp_path):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    for title, ending in (("Figure (PNG)", b"\x89PNG"), ("Figure (SVG)", b"<?xm"), ("Attribution (JSON)", b"{")):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as waiting:
            page.get_by_role("menuitem", name=title).click()
        waiting.value.save_as(tmp_path / "file")
        assert (tmp_path / "file").read_bytes().startswith(ending)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="safetensors").click()
    waiting.value.save_as(tmp_path / "explanation.safetensors")
    stored = pellucid.load(tmp_path / "explanation.safetensors")
    assert shown_number(float(stored.attributions.double().sum())) in page.get_by_test_id("sums").inner_text()
    page.keyboard.press("f")
    page.get_by_role("button", name="Flags").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name=re.compile("JSON")).click()
    waiting.value.save_as(tmp_path / "flags.json")
    assert len(json.loads((tmp_path / "flags.json").read_text())["flags"]) == 1


class Broken(nn.Module):
    """A model that raises for some examples."""

    def forward(self, x):
        if bool((x[:, 0] > 0.5).any()) and x.requires_grad:
            raise RuntimeError("the wheels came off")
        return torch.stack([x.sum(1), -x.sum(1)], 1)


def test_a_model_that_raises_is_told_and_the_page_lives_on(visit, shot):
    rows = torch.tensor([[0.9, 0.1], [0.1, 0.2]])
    data = [Batch(rows, torch.tensor([0, 1]))]
    visualizer = AttributionVisualizer(Broken(), ["n", "y"], GeneralFeature("row", ["a", "b"]), data)
    with visualizer.serve() as server:
        page = visit(server.address)
        page.get_by_test_id("failure").wait_for()
        assert "RuntimeError: the wheels came off" in page.get_by_test_id("failure").inner_text()
        shot(page, "failure")
        page.keyboard.press("j")
        titled(page, "Integrated gradients")
        assert page.get_by_test_id("failure").count() == 0


def test_several_inputs_show_their_contributions(visit, shot):
    with several().serve() as server:
        page = visit(server.address)
        titled(page, "Integrated gradients")
        part = page.get_by_role("region", name="Contribution per input")
        for name in ("scan", "row", "rest"):
            part.get_by_text(name, exact=True).wait_for()
        shot(page, "several")


def test_two_browsers_do_not_disturb_each_other(digits, visit):
    first, second = visit(digits.address), visit(digits.address)
    for page in (first, second):
        titled(page, "Integrated gradients")
    first.get_by_label("Method").select_option("saliency")
    second.get_by_label("Method").select_option("deep_lift")
    second.keyboard.press("j")
    titled(first, "Saliency")
    titled(second, "DeepLIFT")
    assert first.get_by_role("heading", level=2).inner_text() == "example 0"
    assert second.get_by_role("heading", level=2).inner_text() == "example 1"


def test_without_the_token_nothing_is_shown(digits, browser):
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(digits.address.partition("?")[0])
    assert answer.status == 401
    context.close()


@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}], ids=str)
def test_dark_and_narrow_pages(tumours, digits, visit, shot, options):
    for name, server in (("tumours", tumours[0]), ("digits", digits)):
        page = visit(server.address, **options)
        titled(page, "Integrated gradients")
        shot(page, f"{name}-{'dark' if 'color_scheme' in options else 'narrow'}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_thousand_examples_scroll_without_freezing(visit, shot):
    visualizer = images(1000)
    with visualizer.serve() as server:
        page = visit(server.address)
        page.get_by_text("1,000 examples").wait_for()
        page.get_by_role("listbox").press("End")
        assert page.locator("[role=option]").count() < 100
        page.locator("[role=option]", has_text="example 999").wait_for()
        shot(page, "thousand")


def test_everything_has_a_name_for_screen_readers(digits, visit):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    page.keyboard.press("e")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, [role=button], [role=img], img")]
          .filter((e) => e.getClientRects().length && !(e.getAttribute("aria-label") ||
            e.getAttribute("aria-labelledby") || e.hasAttribute("alt") || (e.labels && e.labels.length) ||
            e.innerText.trim() || e.title))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_the_list_is_used_with_the_keyboard_alone(digits, visit):
    page = visit(digits.address)
    titled(page, "Integrated gradients")
    for key in ("j", "j", "ArrowDown", "k"):
        page.keyboard.press(key)
    page.get_by_role("heading", name="example 2", exact=True).wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
