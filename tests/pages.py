"""A page of HTML, taken apart."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd

VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """A page taken apart: tags that must match, attributes, cells of the table, texts by tag."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[tuple[str, int]] = []  # and which of the texts is theirs
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.html = html
        self.feed(html)
        self.close()
        assert self.open == [], "tags that are not closed"

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append((tag, len(self.texts)))
            self.texts.append((tag, ""))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if self.open:
            tag, at = self.open[-1]
            self.texts[at] = (tag, self.texts[at][1] + data)

    def all(self, tag) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.attributes if name == tag]

    def said(self, tag) -> list[str]:
        return [said for name, said in self.texts if name == tag]

    def table(self) -> pd.DataFrame:
        """What is shown, by heading."""
        heads = self.said("th")
        cells = np.array(self.said("td"), dtype=object).reshape(-1, len(heads))
        return pd.DataFrame(cells, columns=heads)

    def values(self, heading: str) -> np.ndarray:
        """What a column is sorted by, as numbers."""
        heads = self.said("th")
        values = [attrs["data-value"] for attrs in self.all("td")]
        column = values[heads.index(heading) :: len(heads)]
        return np.array([float(value) if value else np.nan for value in column])
