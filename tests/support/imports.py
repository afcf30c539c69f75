"""Who imports whom, read from the sources.

Knows: import statements, those inside functions included, and which are for type checkers only. Does not know: which of
them are allowed (test_walls.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path


def imported(path: Path, package: tuple[str, ...], at_run_time: bool = False, at_once: bool = False) -> Iterator[str]:
    """Every dotted name that a file imports, absolute: ``a.b.name`` for ``from a.b import name``.

    Args:
        path: a Python file.
        package: of the file, for its relative imports.
        at_run_time: leave out what is below ``if TYPE_CHECKING:``.
        at_once: leave out what is inside functions, too.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {
        node
        for block in ast.walk(tree)
        if at_run_time and isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    if at_once:
        left_out |= {node for block in ast.walk(tree) if isinstance(block, functions) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = (*base, node.module) if node.module else base
            yield from (".".join((*start, alias.name)) for alias in node.names)


@cache
def modules(root: Path) -> Mapping[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(root: Path, at_run_time: bool = False, at_once: bool = False) -> Mapping[str, frozenset[str]]:
    """The whole names that each module of a package imports: in all, at run time, or as soon as it is imported."""
    table = {}
    for name, path in modules(root).items():
        package = tuple(name.split(".")) if path.stem == "__init__" else tuple(name.split(".")[:-1])
        table[name] = frozenset(imported(path, package, at_run_time, at_once))
    return table


def arrows(root: Path, at_run_time: bool = False, at_once: bool = False) -> dict[str, set[str]]:
    """Which modules of a package each of its modules imports, as `imports` tells. A name is looked up as a module
    first, then as something inside one."""
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for module, names in imports(root, at_run_time, at_once).items():
        there = {name if name in known else name.rpartition(".")[0] for name in names}
        graph[module] = {name for name in there if name in known and name != module}
    return graph


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """The nodes that can be reached from ``start``, itself included."""
    found, waiting = {start}, [start]
    while waiting:
        more = graph.get(waiting.pop(), set()) - found
        found |= more
        waiting += more
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other (strongly connected components of two and more; Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found
