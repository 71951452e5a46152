"""trends.html in a real browser: every series drawn, causes on hover, a phone, dark and light."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harness.commands._history import watched
from harness.report.page.trends import write_page
from support.nights import DAY, FIRST, World

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated history to its 75th night: changes of the last nights, an upgrade, accepted nothing."""
    folder = tmp_path_factory.mktemp("trends")
    world = World(folder / "results", nights=75)
    world.write()
    found = watched(world.results, folder / "none.toml", now=FIRST + 75 * DAY)
    write_page(found, world.results, folder / "trends.html")
    return folder / "trends.html"


@pytest.mark.parametrize("width", [1200, 500])
def test_everything_is_drawn_and_nothing_overflows(page, chromium, width):
    found = chromium.ask(
        page,
        """
        document.getElementById("rest").click();
        for (const app of document.querySelectorAll("details.app")) app.open = true;
        dispatchEvent(new Event("beforeprint"));
        const plots = [...document.querySelectorAll("[data-chart]")];
        return {
          plots: plots.length,
          drawn: plots.filter(plot => plot.querySelector("svg")).length,
          wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          broken: plots.filter(plot => plot.querySelector("svg") && /NaN/.test(plot.innerHTML)).length,
        };
        """,
        width=width,
    )
    assert found["plots"] > 70
    assert found["drawn"] == found["plots"]
    assert found["wide"] <= 0
    assert found["broken"] == 0


def test_a_change_tells_its_causes_where_the_pointer_is(page, chromium):
    said = chromium.ask(
        page,
        """
        const find = document.getElementById("find");
        find.value = "go-full size.transfer pinned";
        find.dispatchEvent(new Event("input"));
        const figure = [...document.querySelectorAll("figure[data-name]")].find(item => !item.hidden);
        dispatchEvent(new Event("beforeprint"));
        const svg = figure.querySelector("svg"), texts = [];
        const box = svg.getBoundingClientRect();
        for (let x = 0; x <= box.width; x += 3) {
          svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + 60 }));
          texts.push(document.querySelector(".tip").textContent);
        }
        const shown = document.querySelectorAll("figure[data-name]:not([hidden])").length;
        return { shown, texts: [...new Set(texts)] };
        """,
    )
    assert said["shown"] == 1
    change = next(text for text in said["texts"] if "tzdata" in text)
    assert "312 → 316 MB (+1.3 %)" in change
    assert "RUN apt-get install tzdata added" in change
    assert any("docker 27.1 → docker 28.0" in text for text in said["texts"])
    assert any("312.4" in text and "→" not in text for text in said["texts"])


def test_dark_and_light_differ_by_the_button(page, chromium):
    grounds = chromium.ask(
        page,
        """
        const ground = () => getComputedStyle(document.body).backgroundColor, before = ground();
        document.getElementById("theme").click();
        return [before, ground()];
        """,
    )
    assert grounds[0] != grounds[1]


def test_a_picture_of_it(page, chromium, tmp_path):
    picture = chromium.screenshot(page, tmp_path / "page.png", width=500, height=2000)
    with Image.open(picture) as image:
        assert image.size == (500, 2000)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 100


def test_what_needs_attention_is_said_without_a_script(page):
    text = page.read_text(encoding="utf-8")
    words = text[: text.index('<script type="application/json"')]
    assert "python-full size.transfer" in words
    assert "deb libc6: 2.41-2 → 2.41-3" in words
