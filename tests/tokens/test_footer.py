"""The footer of a Parquet file says the same here as in pyarrow, and a damaged one is refused."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.tokens import footer as footers
from streamrvq.tokens import open_tokens, shards
from streamrvq.tokens.footer import RowGroup, row_groups, unpacked
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


def number(value: int) -> bytes:
    """A whole number from 0, of the compact protocol."""
    value, data = 2 * value, b""
    while value > 127:
        value, data = value >> 7, data + bytes([value & 127 | 128])
    return data + bytes([value])


def of_row_groups(groups: list[RowGroup]) -> bytes:
    """A footer with nothing but what is read of it, of one column called ``x``."""
    parts = []
    for group in groups:
        column = b"\x39\x18\x01x\x26" + number(group.values) + b"\x26" + number(group.stored) + b"\x26"
        parts.append(b"\x19\x1c\x3c" + column + number(group.start) + b"\0\0\x26" + number(group.rows) + b"\0")
    assert len(groups) < 15
    return b"\x49" + bytes([len(groups) << 4 | 12]) + b"".join(parts) + b"\0"


def test_row_groups_that_share_their_pages_are_refused(tmp_path: Path) -> None:
    """A few KB would be read for hours: each of thousands of groups claims the same pages."""
    group, path = RowGroup(3, 3, 4, 500), tmp_path / "x.parquet"
    for count in (1, 2, 3):
        footer = of_row_groups([group] * count)
        path.write_bytes(b"PAR1" + bytes(1000) + footer + len(footer).to_bytes(4, "little") + b"PAR1")
        if count < 3:
            assert row_groups(path, "x") == {"x": [group] * count}
        else:
            with pytest.raises(ValueError, match=r"^row groups of 1500 bytes in a file of \d+$"):
                row_groups(path, "x")


def test_a_head_is_not_read_beyond_what_its_column_stores(tmp_path: Path) -> None:
    """A column of one byte would have a head of a megabyte read, and so would thousands of them."""
    head = b"\x18" + b"\xf4\x03" + bytes(500) + b"\x15\x0e\x15\x00\0"
    (tmp_path / "x").write_bytes(head)
    assert unpacked(tmp_path / "x", [RowGroup(1, 1, 0, len(head))]) == [7]
    with pytest.raises((ValueError, LookupError)):
        unpacked(tmp_path / "x", [RowGroup(1, 1, 0, 1)])


@pytest.mark.parametrize("footer", [b"\x11" * 99 + b"\0", b"\x19\xf1\x62" + b"\1" * 98 + b"\0"], ids=["fields", "list"])
def test_booleans_are_counted_and_others_than_those_that_are_needed_not_kept(
    monkeypatch: pytest.MonkeyPatch, footer: bytes
) -> None:
    assert footers._Compact(footer).struct(0).keys() <= footers._NEEDED
    monkeypatch.setattr(footers, "_MOST_VALUES", 98)
    with pytest.raises(ValueError, match="too many values"):
        footers._Compact(footer).struct(0)


def test_structs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a hundred times its two bytes."""
    footer = b"\x19\x9c" + b"\x11\0" * 9 + b"\0"
    assert footers._Compact(footer).struct(0) == {1: [{1: True}] * 9}
    monkeypatch.setattr(footers, "_MOST_STRUCTS", 9)
    with pytest.raises(ValueError, match="too many structs"):
        footers._Compact(footer).struct(0)


def test_a_map_is_skipped() -> None:
    assert footers._Compact(b"\x1b\x02\x55\2\4\6\x08\x25\2\0").struct(0) == {1: None, 3: 1}


def test_a_footer_is_parsed_once_for_columns_of_many_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (right,) = targets()["packed-shard"].seeds()
    table = pq.read_table(io.BytesIO(right))
    (tmp_path / "x.parquet").write_bytes(written(table, row_group_size=1))
    parsed: list[Path] = []
    monkeypatch.setattr(
        shards, "row_groups", lambda path, *columns: (parsed.append(path), row_groups(path, *columns))[1]
    )
    values = [signal.columns for signal in open_tokens(tmp_path / "x.parquet")]
    assert [column["age"] for column in values] == [0, 1, 2]
    assert len(parsed) == 1
