"""What is a name on the Hub, what is a path, and what is neither."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import HubError, WeightsError
from streamrvq.weights import load_weights
from streamrvq.weights.hub import HubName, name_of, parsed

RIGHT = {
    "descript/dac_44khz": HubName("descript/dac_44khz"),
    "kyutai/mimi@main": HubName("kyutai/mimi", "main"),
    "kyutai/mimi@refs/pr/12": HubName("kyutai/mimi", "refs/pr/12"),
    "a/B.c-d_e@v1.0+x": HubName("a/B.c-d_e", "v1.0+x"),
    "a/b@" + "0" * 40: HubName("a/b", "0" * 40),
    "a/" + "b" * 94: HubName("a/" + "b" * 94),
}
WRONG = [
    "", "/", "a", "a/", "/a", "a/b/c", "../b", "a/..", "./b", "a/.b", "a/b.", "a/-b", "a--b/c", "a/b..c", "a b/c",
    "a/b\n", "a/b\0", "a/b\\c", "größe/x", "a/" + "b" * 95, "a/b@", "a/b@..", "a/b@../x", "a/b@x//y", "a/b@/x",
    "a/b@x/", "a/b@.x", "a/b@x\0", "a/b@x\n", "a/b@x y", "a/b@x@y", "a/b@-x", "a/b@" + "x" * 201,
    "https://huggingface.co/a/b", "hf://a/b", "file:///etc/passwd", "models--a--b",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT, ids=lambda text: text[:30])
def test_a_name(text: str) -> None:
    assert parsed(text) == RIGHT[text]
    assert str(parsed(text)) == text
    assert name_of(text) == RIGHT[text]


@pytest.mark.parametrize("text", WRONG, ids=lambda text: ascii(text[:30]))
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(HubError, match=r"wanted .* (such as descript/dac_44khz|branch)") as said:
        parsed(text)
    assert str(said.value).isprintable()
    with pytest.raises(WeightsError, match=r"owner/name|branch|cannot read") as said:
        load_weights(text)
    assert str(said.value).isprintable()


@given(st.text(max_size=250))
def test_any_text(text: str) -> None:
    """What is taken for a name can leave neither its place in a URL nor the cache's folder."""
    try:
        name = parsed(text)
    except HubError as error:
        assert str(error).isprintable()
        return
    assert str(name) == text
    assert text.isascii()
    for part in text.replace("@", "/").split("/"):
        assert part not in ("", ".", "..")
    assert set(text).isdisjoint("\\%?#&:;~ \0")


def test_a_path_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in (Path("a/b"), "a/b.safetensors", "a/b.pth", "weights/B.PT", "./a", "a", "/a/b", str(tmp_path)):
        assert name_of(source) is None, source
    assert name_of("a/b") == HubName("a/b")
    (tmp_path / "a").mkdir()
    os.symlink("nowhere", tmp_path / "a" / "b")
    assert name_of("a/b") is None
    assert name_of("a/b@main") == HubName("a/b", "main")


def test_a_url_is_refused_with_the_name_to_give() -> None:
    with pytest.raises(HubError, match=r"'https://huggingface.co/descript/dac_44khz' is a URL; wanted owner/name"):
        load_weights("https://huggingface.co/descript/dac_44khz")
