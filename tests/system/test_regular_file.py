"""What is no file is told apart before it is opened, and nothing is read without an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamrvq.system.regular_file import check_regular, read_at_most


def test_a_pipe_and_a_device_are_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe or a device") as caught:
            check_regular(path)
        assert caught.value.filename == str(path)


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    check_regular(tmp_path / "link")
    assert read_at_most(tmp_path / "link", 3) == b"abc"


def test_more_than_was_asked_for_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    assert read_at_most(tmp_path / "sparse", 1000) is None
