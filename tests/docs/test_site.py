"""The site builds without a warning, every public name is in the reference, and every page is in the navigation.

mkdocs warns, and strictly fails, on a link that leads nowhere, a missing reference, and a page outside the navigation.
"""

from __future__ import annotations

import html.parser
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import streamrvq
import streamrvq.live.items
import streamrvq.tokens
from tests.support.pages import DOCS
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


def test_the_site_is_built(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    built = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    assert pages - {"index"} == built - {"."}


def test_commands_and_errors_come_from_the_code(site: Path) -> None:
    cli = (site / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    for option in ("--shards", "--max-streams", "--recover", "--paced"):
        assert option in cli
    errors = (site / "reference" / "errors" / "index.html").read_text(encoding="utf-8")
    for name in ("BAD_MESSAGE", "NO_SESSION", "DeviceError"):
        assert name in errors


def test_comments_on_fields_are_in_the_reference(site: Path) -> None:
    api = (site / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    index = re.search(r"index: int  #: ([\w ]+)", Path(streamrvq.live.items.__file__).read_text(encoding="utf-8"))
    assert index is not None
    assert index[1] in api


class _Parts(html.parser.HTMLParser):
    """The names of a page's tags, and the texts of its ``pre`` elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.codes: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "pre":
            self._inside = True
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.codes[-1] += data


@pytest.fixture(scope="module")
def native(site: Path) -> _Parts:
    """The page that includes the native engine's README."""
    return _Parts((site / "internals" / "native-engine" / "index.html").read_text(encoding="utf-8"))


def test_code_in_the_native_readme_is_code_on_its_page(native: _Parts) -> None:
    """GitHub and the site read Markdown differently: in a list, code must be fenced and indented by 4 spaces."""
    text = (ROOT / "streamrvq" / "engine" / "native" / "README.md").read_text(encoding="utf-8")
    fenced = re.findall(r"^( *)```[+\w]*\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    blocks = [textwrap.dedent(code).strip() for _, code in fenced]
    shown = [textwrap.dedent(code).strip("\n").rstrip() for code in native.codes]
    assert len(shown) == len(blocks), "fence every block of code"
    assert [code.strip() for code in shown] == blocks


def test_the_native_readme_makes_no_tags_of_cpp(native: _Parts) -> None:
    """Outside code, ``template <int N>`` would become a tag."""
    assert native.tags & {"int", "int64_t", "typename", "class", "float", "double", "bool", "auto", "n"} == set()


@pytest.mark.parametrize("module", [streamrvq, streamrvq.tokens])
def test_every_public_name_is_in_the_reference(module: object) -> None:
    package: str = module.__name__  # type: ignore[attr-defined]
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(rf"^::: {re.escape(package)}\.(\w+)$", text, re.MULTILINE))
    assert documented == set(module.__all__)  # type: ignore[attr-defined]
