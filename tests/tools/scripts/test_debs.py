"""Debian packages that tools/corpus opens: damaged ones, and those with names that point elsewhere."""

import pytest

from tests.support.synthetic import make_deb, sound, zipped
from tools.corpus_build import debs
from tools.corpus_build.errors import CorpusError


@pytest.mark.parametrize(("content", "match"), [(b"<html>", "no Debian package"), (b"!<arch>\n", "has none of")])
def test_a_broken_package_is_named(tmp_path, content, match):
    (tmp_path / "a_1_all.deb").write_bytes(content)
    with pytest.raises(CorpusError, match=match):
        debs.unpack(tmp_path / "a_1_all.deb", tmp_path / "out")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_package_that_was_cut_off_is_named(tmp_path, kept):
    deb = make_deb(tmp_path / "a_1_all.deb", {"usr/a.wav": sound(1), "usr/b.zip": zipped({"c.wav": sound(1)})})
    whole = deb.read_bytes()
    deb.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CorpusError, match=r"a_1_all.deb is damaged \(.*delete it, it will be fetched again"):
        debs.unpack(deb, tmp_path / "out")
    deb.write_bytes(whole)
    debs.unpack(deb, tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.wav"))) == 2


def test_nothing_is_written_outside(tmp_path):
    deb = make_deb(tmp_path / "a_1_all.deb", {"../../evil.wav": sound(1)})
    with pytest.raises(CorpusError, match="outside"):
        debs.unpack(deb, tmp_path / "deep" / "er" / "out")
    deb = make_deb(tmp_path / "b_1_all.deb", {"usr/a.zip": zipped({"../../../../evil.wav": sound(1)})})
    with pytest.raises(CorpusError, match="outside"):
        debs.unpack(deb, tmp_path / "deep" / "er" / "out")
    assert not list(tmp_path.rglob("evil.wav"))
