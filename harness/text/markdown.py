"""What may stand in a Markdown document. Titles, reasons and facts come from images and from strangers' run folders:
they are shown, and become neither markup of HTML nor links.
"""

from __future__ import annotations

import re

from harness.text.terminal import harmless

# A fence of ours begins its line. One that is indented may stand in a list, which ends it at any line.
_OPENS = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
_REFERENCE = re.compile(r"^([\s>*+\d.)-]*\[?[^\[\]]*)\]:")  # would define where other links go
# the beginning of a link that is not one of those that Tare writes
_LINK = re.compile(r"\]\((?!(?:report|trends)\.html(?:#[\w./*-]*)?\))")


def harmless_markdown(text: str) -> str:
    """A document in which nothing from outside acts: no HTML, no images, and no links but those that Tare writes.

    Blocks of code stay as they are, because nothing acts there. Spans of code do not: a single backtick of a stranger
    would turn them inside out.
    """
    lines, fence = [], ""
    for line in harmless(text).split("\n"):
        opens = _OPENS.fullmatch(line)
        if fence:
            lines.append(line)
            if len(line.rstrip()) >= len(fence) and not line.rstrip().strip(fence[0]):
                fence = ""
        elif opens:
            lines.append(line)
            fence = opens[1] or opens[2]
        else:
            lines.append(_inline(line))
    return "\n".join(lines)


def _inline(text: str) -> str:
    shown = text.replace("<", "&lt;").replace("![", "!\\[")
    shown = _REFERENCE.sub(r"\1]\\:", shown)
    return _LINK.sub(r"]\\(", shown)
