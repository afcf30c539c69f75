"""The README stays short, pages stay readable, and no placeholder is left in one."""

import re
from pathlib import Path

import pytest

from tests.support.pages import PROSE, README, name, sentences

MOST_WORDS = 700
#: Words of the longest sentence.
LONGEST = 25
#: What stands where a figure is still to be filled in.
PLACEHOLDER = re.compile(r"@[A-Z_]+@")


def test_the_readme_is_short() -> None:
    words = len(README.read_text(encoding="utf-8").split())
    assert words <= MOST_WORDS, "move something to docs/"


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_no_sentence_is_long(page: Path) -> None:
    long = {sentence: n for sentence in sentences(page) if (n := len(sentence.split())) > LONGEST}
    assert not long, "cut these sentences in two"


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_no_placeholder_is_left(page: Path) -> None:
    left = PLACEHOLDER.findall(page.read_text(encoding="utf-8"))
    assert not left, "fill in what belongs there"
