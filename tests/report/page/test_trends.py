"""trends.html in a real browser: every series drawn, causes on hover, a phone, dark and light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.commands._history import watched
from harness.nights.records import NIGHTLY, Key, Night, NightSeries
from harness.nights.watch import watch
from harness.report.page.trends import write_page
from support.nights import DAY, FIRST, LEVELS, METRICS, PINNED, World

BUDGETS = Path(__file__).parents[2] / "support" / "budgets.toml"

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated history to its 75th night: changes of the last nights, an upgrade, accepted nothing."""
    folder = tmp_path_factory.mktemp("trends")
    world = World(folder / "results", nights=75)
    world.write()
    found = watched(world.results, BUDGETS, now=FIRST + 75 * DAY)
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


QUESTION = """
const find = document.getElementById("find");
const set = (name, value) => {
  const input = document.getElementById(name);
  input.value = value;
  input.dispatchEvent(new Event(name === "find" ? "input" : "change"));
};
"""
STATE = """
return {
  query: location.search,
  find: document.getElementById("find").value,
  from: document.getElementById("from").value,
  boxes: document.querySelectorAll("input[data-over]:checked").length,
  lines: document.querySelectorAll("#laid svg [aria-label=line] path").length,
  shown: [...document.querySelectorAll("figure[data-name]")].filter(figure => !figure.hidden).length,
  panel: document.getElementById("night").hidden ? "" : document.getElementById("night").innerText,
  link: document.querySelector("#night a")?.getAttribute("href") ?? "",
};
"""


def ask_at(page: Path, chromium, query: str, script: str):
    """As `chromium.ask`, with a question in the address."""

    class Address:
        def as_uri(self) -> str:
            return page.as_uri() + query

    return chromium.ask(Address(), script)


def test_the_question_stands_in_the_address_and_comes_back_from_it(page, chromium):
    """Search, dates, series laid over each other and a night: what the address holds is what another reader sees."""
    asked = ask_at(
        page,
        chromium,
        "",
        QUESTION
        + """
        set("find", "go-full pinned");
        set("from", "2025-02-01");
        set("to", "2025-03-10");
        for (const box of [...document.querySelectorAll("input[data-over]")].slice(0, 3)) {
          box.checked = true;
          box.dispatchEvent(new Event("change"));
        }
        dispatchEvent(new Event("beforeprint"));
        const figure = [...document.querySelectorAll("figure[data-name]")].find(item => !item.hidden);
        const svg = figure.querySelector("[data-chart] svg"), box = svg.getBoundingClientRect();
        svg.dispatchEvent(new MouseEvent("click", { clientX: box.left + box.width / 2, clientY: box.top + 60 }));
        """
        + STATE,
    )
    assert asked["lines"] >= 3
    assert "run 2025" in asked["panel"]
    assert "commit" in asked["panel"]
    assert asked["link"].startswith("results/2025")
    assert (page.parent / asked["link"] / "manifest.json").exists()
    again = ask_at(page, chromium, asked["query"], STATE)
    assert again == asked


def test_a_night_leads_to_its_commit_and_what_changed(page, chromium):
    results = page.parent / "results"
    found = watched(results, BUDGETS, now=FIRST + 75 * DAY)
    item = next(
        i for i in found.series if (i.key.cell, i.key.metric, i.key.track) == ("go-full", "size.transfer", PINNED)
    )
    run = item.line.runs[item.changes[0].index]
    query = f"?night=go-full+size.transfer+{PINNED}&night={run}"
    panel = ask_at(page, chromium, query, STATE)["panel"]
    assert run in panel
    assert "tzdata" in panel


@pytest.mark.parametrize("query", ["?find=go-full+size.transfer+pinned", f"?over=go-full+size.transfer+{PINNED}"])
def test_a_night_is_reached_with_the_keyboard_alone(query, page, chromium):
    """Arrows go from night to night, Enter opens one with its run, Escape closes it and gives the focus back."""
    found = ask_at(
        page,
        chromium,
        query,
        """
        dispatchEvent(new Event("beforeprint"));
        const figure = [...document.querySelectorAll("figure[data-name]")].find(item => !item.hidden);
        const svg = (document.querySelector("#laid:not([hidden])") ?? figure).querySelector("svg.plot, .plot svg, svg");
        const panel = document.getElementById("night");
        const press = (key, at = svg) => at.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        svg.focus();
        press("Home");
        const first = svg.getAttribute("aria-valuetext");
        press("ArrowRight");
        const second = svg.getAttribute("aria-valuetext"), tip = document.querySelector(".tip").textContent;
        press("Enter");
        const link = panel.querySelector("a").getAttribute("href"), inside = panel.contains(document.activeElement);
        press("Escape", panel);
        return { first, second, tip, link, inside, closed: panel.hidden, back: document.activeElement === svg };
        """,
    )
    assert found["first"].startswith("2025-01-01")
    assert found["second"].startswith("2025-01-02")
    assert found["tip"] == found["second"]
    assert "/20250102-" in found["link"]
    assert found["inside"]
    assert found["closed"]
    assert found["back"]


def test_a_range_without_nights_is_said(page, chromium):
    state = ask_at(
        page,
        chromium,
        "?from=1999-01-01&to=1999-02-01&find=go-full",
        "dispatchEvent(new Event('beforeprint')); return document.body.innerText.includes('No night in these dates');",
    )
    assert state


def three_years(folder: Path) -> Path:
    """A page of 1095 nights of 30 series, two of which change; nothing of it is stored but the page."""
    random = np.random.default_rng(3)
    nights = [
        Night(
            run=f"n{n:04d}",
            started=FIRST + n * DAY,
            fingerprint="e",
            track=PINNED,
            git=f"{n // 30:040x}",
            purpose=NIGHTLY,
        )
        for n in range(1095)
    ]
    lines = []
    for cell in LEVELS:
        for place, metric in enumerate(METRICS[:6]):
            level = np.full(1095, 100.0) if metric.deterministic else np.exp(random.normal(0, 0.02, 1095))
            if cell == "go-slim" and place < 2:
                level[700:] *= 1.2
            key = Key(cell, metric.name, "e", PINNED)
            at, n = np.array([night.started for night in nights]), np.full(1095, 10)
            runs = tuple(night.run for night in nights)
            lines.append(
                NightSeries(
                    key=key, metric=metric, runs=runs, at=at, n=n, median=level, low=level * 0.99, high=level * 1.01
                )
            )
    (folder / "results").mkdir()
    write_page(watch(lines, nights, budgets=()), folder / "results", folder / "trends.html")
    return folder / "trends.html"


def test_three_years_of_nights_can_be_asked(tmp_path, chromium):
    page = three_years(tmp_path)
    over = "&".join(
        f"over={name.replace(' ', '+')}"
        for name in ("go-slim start.cold.total pinned", "go-full start.cold.total pinned")
    )
    query = f"?{over}&from=2026-06-01&to=2027-06-01&find=go"
    state = ask_at(page, chromium, query, "dispatchEvent(new Event('beforeprint'));" + STATE)
    assert state["lines"] == 2
    days = ask_at(
        page, chromium, query, "return document.querySelectorAll('#laid svg [aria-label=dot] circle').length;"
    )
    assert days == 2 * 366


@pytest.mark.parametrize("nights", [0, 1])
def test_an_empty_history_and_one_night_are_pages_too(nights, tmp_path, chromium):
    world = World(tmp_path / "results", nights=nights)
    world.results.mkdir()
    world.write()
    write_page(watched(world.results, BUDGETS, now=FIRST), world.results, tmp_path / "trends.html")
    text = chromium.ask(tmp_path / "trends.html", "return document.body.innerText;")  # which no error of a script ends
    assert ("tare nightly measures a night" in text) == (nights == 0)
    assert ("Nothing needs attention" in text) == (nights == 1)
    assert ("28 series" in text) == (nights == 1)
