"""The documentation's pages as tests see them: their fenced blocks, the commands in them, their sentences.

A comment ``<!-- snippet: … -->`` before a block says how it is treated: ``run`` for commands that are to be run, ``not
run: REASON`` for Python that is not.

Knows: Markdown, as far as the pages use it. Does not know: what is done with blocks.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

README = ROOT / "README.md"
DOCS = ROOT / "docs"
#: Everything that is documentation, the README first.
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
#: All prose: the pages, what they include, the model card, the changelog.
PROSE = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "streamrvq").rglob("*.md"))]

#: A page that has this sentence may have ``await`` outside a function in its snippets from there on.
ASYNC_NOTE = "The snippets below go inside an `async def` like `main`, or into a notebook."

_NOTE = re.compile(r"<!-- snippet: (.*) -->")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  #: of its first line of text, from 1
    language: str
    text: str
    note: str  #: of the comment before it; empty if there is none
    output: str | None  #: the ``text`` block that follows directly: what this one prints
    awaits: bool  #: the page said before it, with `ASYNC_NOTE`, that ``await`` may stand outside a function

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"

    @property
    def run(self) -> bool:
        """Whether the block is run: Python unless it says otherwise, commands if it says so."""
        return self.note == "run" if self.language == "bash" else not self.note.startswith("not run")


def name(page: Path) -> str:
    """A page as it is called in a message."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    note, lines, start, language = "", [], 0, None
    last_end = -10  # the line of the fence that closed the block before
    awaits = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if language is None:
            if match := re.fullmatch(r"```(\w*)", line):
                language, lines, start = match[1], [], number + 1
            elif match := _NOTE.fullmatch(line):
                note = match[1]
            elif line.strip():
                note, last_end = "", -10
                awaits = awaits or ASYNC_NOTE in line
        elif line == "```":
            if language == "text" and last_end > 0:
                found[-1] = dataclasses.replace(found[-1], output="\n".join(lines))
            found.append(Block(page, start, language, "\n".join(lines), note, None, awaits))
            language, note, last_end = None, "", number
        else:
            lines.append(line)
    assert language is None, f"{name(page)}: a block that begins on line {start} does not end"
    return found


def pipeline(line: str) -> list[list[str]]:
    """The words of each command of a line of a shell; none for a comment."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "|":
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def commands(page: Path) -> Iterator[tuple[str, list[str], bool]]:
    """Every command of a page: where it stands, its words, and whether it is whole. In the text it may be abridged."""
    for block in blocks(page):
        if block.language == "bash":
            for number, line in enumerate(block.text.splitlines()):
                for words in pipeline(line):
                    while words and re.match(r"[A-Z_]+=", words[0]):
                        del words[0]
                    if words:
                        yield f"{name(page)}:{block.line + number}", words, True
    for number, line in enumerate(_prose_lines(page), 1):
        for code in re.findall(r"(?<!`)`((?:streamrvq|tools/\w+) [^`]+)`", line):
            yield f"{name(page)}:{number}", shlex.split(code.replace("…", "")), False


def sentences(page: Path) -> list[str]:
    """The sentences of a page, without code blocks, tables, headings and the marks of Markdown."""
    paragraphs = [""]
    for line in _prose_lines(page):
        if not line.strip() or line.startswith(("#", "|", "!", "<!--", ":::", "--8<--")):
            paragraphs.append("")
        elif re.match(r"\s*(?:[-*]|\d+\.) ", line):
            paragraphs.append(re.sub(r"^\s*(?:[-*]|\d+\.) ", "", line))
        else:
            paragraphs[-1] += " " + line
    plain = [re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", paragraph) for paragraph in paragraphs]
    return [sentence.strip() for text in plain for sentence in re.split(r"(?<=[.!?])\s+", text) if sentence.strip()]


def _prose_lines(page: Path) -> Iterator[str]:
    """Every line; those of fenced blocks, and the fences, are empty."""
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
            yield ""
        else:
            yield "" if inside else line
