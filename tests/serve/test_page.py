"""The page in a real browser: fields from the model, files dropped and recorded, bars, switches, keyboard and names."""

import io
import os
import re
import shutil
import time

import pytest
from PIL import Image

from serve_helpers import Adding, ask

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = os.environ.get("PERCEIVER_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is on the path")


class Choosing(Adding):
    """Gives probabilities that depend on what is there."""

    def answer(self, rows):
        share = [0.5 + 0.1 * len(row.present) for row in rows]
        return [
            {
                "targets": {
                    "word": {
                        "kind": "class",
                        "prediction": "<b>yes</b>",
                        "set": "<b>yes</b>|no",
                        "set_size": 2,
                        "probabilities": {"<b>yes</b>": p, "no": 1 - p},
                    },
                    "size": {"kind": "number", "prediction": 2.5, "low": 1.25, "high": None},
                },
                "unusual": "x is far away" if p > 0.65 else None,
            }
            for p in share
        ]

    targets = (
        {"name": "word", "kind": "class", "note": "2 classes"},
        {"name": "size", "kind": "number", "note": "a number"},
    )


def picture():
    buffer = io.BytesIO()
    Image.new("L", (4, 4), 200).save(buffer, "PNG")
    return {"name": "grey.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as kit:
        browser = kit.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, serving):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.asked_for = []
    page.on("request", lambda request: page.asked_for.append(request.url))
    page.address = serving(Choosing())
    page.goto(page.address)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()


def settled(page):
    playwright.expect(page.locator("#status")).to_have_text("", timeout=60_000)


def first_share(page, text):
    playwright.expect(page.locator(".percent").first).to_have_text(text, timeout=60_000)


def shares(page):
    return [each.text_content() for each in page.locator(".percent").all()]


def test_a_row_is_filled_in_and_answered_with_bars(page):
    page.get_by_label("x", exact=True).fill("2")
    page.get_by_label("picture: choose a picture").set_input_files(picture())
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    settled(page)
    assert page.locator(".value").first.text_content() == "<b>yes</b>", "what a model says is text, and never markup"
    assert page.locator("#answer b").count() == 0
    assert shares(page) == ["70 %", "30 %"]
    assert page.get_by_role("listitem", name="<b>yes</b>: 70 %").count() == 1
    said = page.locator("#answer").text_content()
    assert "With 90 % certainty one of: <b>yes</b>, no" in said
    assert "With 90 % certainty 1.25 or more" in said
    assert "Unusual: x is far away" in said
    assert page.get_by_alt_text("The picture for picture").is_visible()
    page.get_by_label("note", exact=True).fill("more")
    first_share(page, "80 %")
    assert page.complaints == []


def test_a_part_is_switched_off_and_the_bars_move(page):
    page.get_by_label("x", exact=True).fill("2")
    page.get_by_label("note", exact=True).fill("hello")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    settled(page)
    assert shares(page)[0] == "70 %"
    page.get_by_label("Let the model read note").uncheck()
    page.wait_for_selector(".ghost")
    assert shares(page)[0] == "60 %"
    assert page.get_by_role("listitem", name=re.compile("60 %, with every part 70 %")).count() == 1
    page.get_by_label("Let the model read note").check()
    first_share(page, "70 %")
    assert page.locator(".ghost").count() == 0


def test_what_counts_is_shown(page):
    page.get_by_label("x", exact=True).fill("2")
    page.get_by_label("note", exact=True).fill("hello")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("button", name="Show what counts").click()
    page.wait_for_selector("#comparison table")
    cells = page.locator("#comparison table").first.locator("tbody tr").all_text_contents()
    assert [cell.startswith(name) for cell, name in zip(cells, ("numbers", "note"), strict=True)] == [True, True]
    assert all("60 %" in cell for cell in cells)
    assert page.get_by_alt_text("a map").count() == 2, "of each target"


def test_a_refusal_is_told_at_its_field(page):
    page.get_by_label("x", exact=True).fill("many")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#error:not([hidden])")
    assert "row 0, column 'x': must be a number, got 'many'" in page.get_by_role("alert").text_content()
    field = page.get_by_label("x", exact=True)
    assert field.get_attribute("aria-invalid") == "true"
    described = field.get_attribute("aria-describedby").split()[0]
    assert "must be a number" in page.locator(f"#{described}").text_content()
    field.fill("3")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    assert field.get_attribute("aria-invalid") is None
    assert page.locator("#error").is_hidden()


def test_a_file_is_dropped_and_removed_again(page):
    content = list(picture()["buffer"])
    transfer = page.evaluate_handle(
        """(content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
            return transfer;
        }""",
        content,
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    assert "dropped.png" in page.locator(".drop").text_content()
    page.get_by_role("button", name="Remove: picture").click()
    assert page.locator(".preview img").count() == 0


def test_the_camera_takes_a_picture_that_the_model_reads(page):
    page.get_by_role("button", name="Use the camera: picture").click()
    stop = page.get_by_role("button", name="Take the picture: picture")
    until = time.monotonic() + 30
    while not page.evaluate("document.querySelector('.preview video')?.videoWidth > 0") and time.monotonic() < until:
        page.wait_for_timeout(50)
    stop.click()
    page.wait_for_selector(".preview img")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    settled(page)
    assert shares(page)[0] == "60 %", "the picture was there"


def test_all_of_it_can_be_done_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent")
        seen.append(name)
        if name == "Predict":
            break
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            page.keyboard.type("by hand")
    assert seen[-1] == "Predict"
    page.keyboard.press("Enter")
    page.wait_for_selector(".value")
    settled(page)
    assert shares(page)[0] == "60 %"


def test_every_control_has_a_name_and_nothing_comes_from_elsewhere(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, textarea, select, button, audio, video, img")].filter((each) =>
            !each.hidden && !each.labels?.length && !each.getAttribute("aria-label")
            && !each.textContent.trim() && !each.alt
        ).map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("[aria-live], [role=status], [role=alert]").count() >= 3
    assert page.asked_for
    assert all(url.startswith((page.address, "blob:", "data:")) for url in page.asked_for), page.asked_for


CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parts(color).map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (parts(color).length < 4 || parts(color)[3] > 0.99) return color;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("h1, h2, h3, p, label, legend, .hint, button, a, .percent, .name")]
    .filter((each) => each.textContent.trim() && each.offsetParent && !each.classList.contains("skip"))
    .map((each) => {
      const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), each.outerHTML.slice(0, 80)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark_and_nothing_is_wider_than_a_telephone(browser, serving, scheme):
    address = serving(Choosing())
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    found = page.evaluate(CONTRAST)
    assert len(found) > 10
    assert [each for each in found if each[0] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_the_page_is_served_with_its_types(serving):
    address = serving(Choosing())
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        answer = ask(f"{address}{path}")
        assert answer.headers["content-type"].startswith(kind)
        assert answer.body
