"""A document of sections, paragraphs, tables and figures, written as one HTML file or as Markdown.

Inline text is plain but for `code` in backticks and **strong** words. The HTML refers to nothing outside itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from markdown import markdown

_STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column names its rows. `strong` are the numbers of rows to set off.

    A `folded` one repeats what a figure shows, so the page keeps it closed until asked.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart as SVG with a caption that says how to read it; left out of Markdown."""

    svg: str
    title: str
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Cards:
    """The few numbers to see first: (name, value, note)."""

    cards: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Quoted:
    """Markdown of another document; its headings go below the section's."""

    text: str


Block = Paragraph | Table | Figures | Cards | Quoted


@dataclass
class Section:
    """A heading and what stands under it; `anchor` is its place in the page's address."""

    title: str
    anchor: str
    level: int = 2
    blocks: list[Block] = field(default_factory=list)


def to_html(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole document with a table of contents."""
    entries = "\n".join(
        f'<li class="level{section.level}"><a href="#{section.anchor}">{_inline(section.title)}</a></li>'
        for section in sections
    )
    body = "\n".join(
        f'<section id="{section.anchor}"><h{section.level}>{_inline(section.title)}</h{section.level}>\n'
        + "\n".join(_html(block, section.level) for block in section.blocks)
        + "</section>"
        for section in sections
    )
    intro = "\n".join(f"<p>{_inline(text)}</p>" for text in lead)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f'<nav aria-label="Contents"><p>Contents</p><ol>\n{entries}\n</ol></nav>\n'
        f'<main>\n<header><h1>{escape(title)}</h1>\n<div class="lead">{intro}</div></header>\n{body}\n</main>\n'
        "</body>\n</html>\n"
    )


def to_markdown(sections: Sequence[Section]) -> str:
    """The sections as Markdown, without figures."""
    parts = []
    for section in sections:
        parts.append(f"{'#' * section.level} {section.title}")
        parts += [text for block in section.blocks if (text := _markdown(block, section.level))]
    return "\n\n".join(parts) + "\n"


def _html(block: Block, level: int) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Cards):
        cards = (
            f'<div class="card"><span class="name">{_inline(name)}</span><span class="value">{_inline(value)}</span>'
            f'<span class="note">{_inline(note)}</span></div>'
            for name, value, note in block.cards
        )
        return f'<div class="cards">{"".join(cards)}</div>'
    if isinstance(block, Quoted):
        return markdown(escape(_lowered(block.text, level), quote=False), extensions=["tables"])
    figures = (
        f"<figure>{figure.svg}<figcaption><b>{_inline(figure.title)}.</b> {_inline(figure.caption)}</figcaption>"
        "</figure>"
        for figure in block.figures
    )
    return f'<div class="figures">{"".join(figures)}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in table.header)
    rows = "\n".join(
        f"<tr{' class=strong' if i in table.strong else ''}>"
        + "".join(f"<td>{_inline(cell)}</td>" for cell in row)
        + "</tr>"
        for i, row in enumerate(table.rows)
    )
    caption = f"<caption>{_inline(table.caption)}</caption>" if table.caption else ""
    whole = f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'
    return f"<details><summary>The same in numbers</summary>{whole}</details>" if table.folded else whole


def _markdown(block: Block, level: int) -> str:
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Cards):
        return "\n".join(
            f"- {name}: {value} ({note})" if note else f"- {name}: {value}" for name, value, note in block.cards
        )
    if isinstance(block, Quoted):
        return _lowered(block.text, level).strip()
    if isinstance(block, Figures):
        return ""
    cell = "\\|".join
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    table = "\n".join("| " + " | ".join(cell(text.split("|")) for text in line) + " |" for line in lines)
    return f"{block.caption}\n\n{table}" if block.caption else table


def _lowered(text: str, level: int) -> str:
    """Markdown without its title, its other headings moved below `level`."""
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    return "\n".join("#" * (level - 1) + line if line.startswith("#") else line for line in lines)


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
