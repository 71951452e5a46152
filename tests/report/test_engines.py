"""docs/engines.md: what ran, and what did not."""

from __future__ import annotations

import json
from pathlib import Path

from harness.decision.engines import ENGINE, TOGETHER
from harness.report.documents import write_documents
from harness.report.engines import render
from harness.store.run import UNMEASURED, Run, read_run
from support.synthetic import APPS, write

UNPACKED = [f"pull.{state}.unpack" for state in ("empty", "previous", "base")]
GO = {"go": APPS["go"]}


def on(results: Path, engine: str, *without: str, **facts: str) -> Run:
    folder = write(results, apps=GO, blocks=1, without=without, **facts)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["plan"] |= {TOGETHER: "1234", ENGINE: engine}
    path.write_text(json.dumps(manifest))
    return read_run(folder)


def row(text: str, *words: str) -> list[str]:
    """The cells of the one table line that begins with these words."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {' | '.join(words)} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][len(words) :]


def test_the_page_shows_versions_probes_and_values(tmp_path: Path) -> None:
    first = on(tmp_path, "private:26.1", **{"image store": "classic"})
    second = on(tmp_path, "private:28.5+containerd", **{"image store": "containerd", "node engine": "docker 20.10"})
    text = render([first, second])
    assert row(text, "probe") == ["private:26.1", "private:28.5+containerd"]
    assert row(text, "image store") == ["classic", "containerd"]
    assert row(text, "node engine") == ["as the run's", "docker 20.10"]
    assert row(text, "size")[0].startswith("5 of 5")
    assert row(text, "go-scratch", "`size.transfer`") == ["4.20 MB", "4.20 MB"]


def test_what_has_no_samples_is_absent_and_listed_with_its_reason(tmp_path: Path) -> None:
    whole = on(tmp_path, "private:26.1")
    folder = on(tmp_path, "private:28.5+containerd", **{"image store": "containerd"}).folder
    lines = []
    for line in (folder / "samples.jsonl").read_text().splitlines():
        record = json.loads(line)
        kept = {name: value for name, value in record.get("values", {}).items() if not name.endswith(".unpack")}
        lines.append(json.dumps({**record, "values": kept}))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["plan"][UNMEASURED] = dict.fromkeys(UNPACKED, "the engine looks at a pull only every 0.1 s")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = render([whole, read_run(folder)])
    missing = text.partition("## What was not measured")[2]
    (said,) = (line for line in missing.splitlines() if "`pull.empty.unpack`" in line)
    assert said.startswith("- private:28.5+containerd:")
    assert "only every 0.1 s" in said
    assert "without 3 metrics" in row(text, "pull")[1]


def test_decision_and_page_say_what_the_engine_cannot_give_and_why(tmp_path: Path) -> None:
    folder = on(tmp_path, "private:28.5+containerd").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["plan"][UNMEASURED] = dict.fromkeys(UNPACKED, "the engine looks at a pull only every 0.1 s")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_documents(folder)
    said = "pull.previous.unpack, pull.base.unpack, because the engine looks at a pull only every 0.1 s."
    assert said in (folder / "decision.md").read_text()
    assert said in (folder / "report.html").read_text()
