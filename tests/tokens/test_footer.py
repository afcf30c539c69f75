"""The footer of a Parquet file says the same here as in pyarrow, and a damaged one is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.tokens.footer import row_groups
from tests.support.fuzzing.parquet_files import written
from tests.support.patience import PATIENCE
from tools.fuzzing.registry import targets


@given(
    lists=st.lists(st.lists(st.integers(0, 65535), max_size=9), max_size=30), size=st.integers(1, 9),
    version=st.sampled_from(["1.0", "2.6"]), compression=st.sampled_from(["none", "zstd"]),
    metadata=st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=20),
)  # fmt: skip
def test_it_says_what_pyarrow_says(
    tmp_path: Path, lists: list[list[int]], size: int, version: str, compression: str, metadata: dict[str, str]
) -> None:
    table = pa.table({"x": list(range(len(lists))), "codes": pa.array(lists, pa.list_(pa.uint16()))})
    file = written(table.replace_schema_metadata(metadata), row_group_size=size, version=version,
                   compression=compression)  # fmt: skip
    (tmp_path / "x.parquet").write_bytes(file)
    groups = [pq.read_metadata(tmp_path / "x.parquet").row_group(i) for i in range(-(-len(lists) // size))]
    wanted = [(group.num_rows, group.column(1).num_values) for group in groups]
    assert [tuple(group[:2]) for group in row_groups(tmp_path / "x.parquet", "codes")["codes"]] == wanted or not lists
    assert [group.rows for group in row_groups(tmp_path / "x.parquet", "x")["x"]] == [
        rows for rows, _ in wanted
    ] or not lists


def damaged(footer: bytes, path: Path) -> Path:
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("footer", [
    b"", b"\x00", b"\x49\xfc\xff\xff\xff\xff\x0f", b"\x49" * 9000, b"\x4c" * 9000, b"\x19" * 9000, b"\x48\xff\xff\x7f",
    b"\x46" + b"\xff" * 20, b"\x4d\x00", b"\x49\x1c\x00\x00", b"\x4b\xff\xff\x7f\x88",
], ids=lambda footer: footer[:8].hex())  # fmt: skip
def test_a_damaged_footer_is_refused(tmp_path: Path, footer: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        row_groups(damaged(footer, tmp_path / "x.parquet"), "codes")


@given(data=st.data())
def test_any_footer_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    try:
        groups = row_groups(damaged(data.draw(st.binary(max_size=200)), tmp_path / "x.parquet"), "codes")
    except (ValueError, LookupError, TypeError):
        return
    assert all(min(group) >= 0 for group in groups["codes"])


def test_a_histogram_of_another_size_does_not_end_the_process(tmp_path: Path) -> None:
    """pyarrow's description of such a column does."""
    (right,) = targets()["shard"].seeds()
    first = len(right) - 8 - int.from_bytes(right[-8:-4], "little")
    code = (
        "import sys; from pathlib import Path\n"
        "from streamrvq import TokensError; from streamrvq.tokens import open_tokens\n"
        "data, first = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])\n"
        "for at in range(first, len(data), 3):\n"
        "    Path(sys.argv[1]).write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1:])\n"
        "    try: [signal.read() for signal in open_tokens(sys.argv[1])]\n"
        "    except TokensError: pass\n"
    )
    (tmp_path / "x.parquet").write_bytes(right)
    arguments = [sys.executable, "-c", code, str(tmp_path / "x.parquet"), str(first)]
    ran = subprocess.run(arguments, capture_output=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr) == (0, b"")
