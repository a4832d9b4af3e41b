"""One file that needs nothing else, for a light and a dark page, whatever a candidate is called."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from edgefer.bench import environment, page
from edgefer.bench.pictures import Picture
from edgefer.bench.results import results
from edgefer.bench.runs import Plan, Run
from edgefer.imageset import ImageSet
from tests.bench.conftest import measured


class Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    VOID = frozenset({"meta", "img", "source", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page(pool: ImageSet, tmp_path: Path) -> None:
    images = []
    for name, value in (("light", 255), ("dark", 0)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 6), value, np.uint8))
        images.append(tmp_path / f"{name}.png")
    candidates = tuple(measured(name, [[10.0, 10.1]] * 12, settled=False) for name in ("<b>&first", "second"))
    run = Run(Plan(), pool, candidates)
    found = results([run], environment.record(), environment.moment(), environment.moment(), "edgefer bench '<a>'")
    text = page.html(found, [Picture("A picture", "what it shows", *images)])
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;first" in text
    assert "edgefer bench '&lt;a&gt;'" in text.replace("&#x27;", "'")
    embedded = [source.removeprefix("data:image/png;base64,") for source in parser.sources]
    assert [base64.b64decode(data) for data in embedded] == [path.read_bytes() for path in reversed(images)]
    assert not re.search(r"https?://|<script|@import|url\(", text)  # nothing from elsewhere
    assert "prefers-color-scheme: dark" in text
    assert "did not settle" in text
    assert found["environment"]["cpu"]["model"] is None or found["environment"]["cpu"]["model"] in text
