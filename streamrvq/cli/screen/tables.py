"""Tables that no terminal breaks: where one does not fit, its rows are lists of names and values.

Knows: rich's tables. Does not know: what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..common import print_words, writing_to_stdout


def print_table(console: Console, table: Table) -> None:
    """Print a table; where the console is too narrow for its words, print each row as lines of "name: value"."""
    with writing_to_stdout(), console.capture() as captured:  # its end writes, too
        console.print(table)
    drawn = captured.get()
    cells = [_text(cell) for column in table.columns for cell in (column.header, *column.cells)]
    if all(word in drawn for cell in cells for word in cell.plain.split()):  # rich breaks words, or ends them with …
        console.print(table)
        return
    if table.title:
        print_words(console, Text.assemble((_text(table.title).plain, "bold")))
    for number, lines in enumerate(_rows(table)):
        if number and len(table.columns) > 2:
            console.print()
        for line in lines:
            print_words(console, line)


def _rows(table: Table) -> Iterator[list[Text]]:
    heads = [_text(column.header) for column in table.columns]
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        values = [_text(cell) for cell in cells]
        if not any(heads):  # the first column names the second
            yield [Text(": ").join([value for value in values if value])]
        else:
            pairs = zip(heads, values, strict=True)
            yield [Text(": ").join([part for part in (head, value) if part]) for head, value in pairs if value]


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
