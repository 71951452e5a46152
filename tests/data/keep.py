"""Keep what simulations want of a run: `python tests/data/keep.py RUN NAME` writes the folder NAME beside this file.

Headline durations and memory of tries that succeeded; no artefacts, and no notes of the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def keep(run: Path, folder: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_bytes())
    manifest["environment"]["notes"] = {}
    manifest.pop("git", None)
    wanted = {each["name"] for each in manifest["metrics"] if each["headline"] and not each["deterministic"]}
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    (folder / "sessions.jsonl").touch()
    with (run / "samples.jsonl").open(encoding="utf-8") as lines, (folder / "samples.jsonl").open("w") as kept:
        for line in lines:
            sample = json.loads(line)
            values = {name: value for name, value in sample.get("values", {}).items() if name in wanted}
            if sample["cell"] and sample["status"] == "ok" and values:
                for key in ("phases", "notes"):
                    sample.pop(key, None)
                kept.write(json.dumps({**sample, "values": values}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    keep(Path(sys.argv[1]), HERE / sys.argv[2])
