"""The README stays short, and pages stay readable: words and sentences are counted."""

from pathlib import Path

import pytest

from tests.support.pages import PAGES, README, name, sentences

MOST_WORDS = 700
#: Words of the longest sentence.
LONGEST = 25


def test_the_readme_is_short() -> None:
    words = len(README.read_text(encoding="utf-8").split())
    assert words <= MOST_WORDS, "move something to docs/"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_sentence_is_long(page: Path) -> None:
    long = {sentence: n for sentence in sentences(page) if (n := len(sentence.split())) > LONGEST}
    assert not long, "cut these sentences in two"
