"""Who imports whom, read from the sources.

Knows: import statements, those inside functions included, and which are for type checkers only. Does not know: which of
them are allowed (test_walls.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """A name that a file imports, absolute: ``a.b.name`` for ``from a.b import name``."""

    name: str
    for_types: bool  #: below ``if TYPE_CHECKING:``
    later: bool  #: inside a function


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node, wherever it stands: what `ast.walk` gives without the many expressions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield node
            yield from statements(node)


def imported(path: Path, package: tuple[str, ...]) -> list[Import]:
    """All that a file of a package imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for_types, later = set[ast.AST](), set[ast.AST]()
    found = []
    for node in statements(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types |= {inner for statement in node.body for inner in (statement, *statements(statement))}
        if isinstance(node, functions):
            later |= set(statements(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = (*base, node.module) if node.module else base
            names = [".".join((*start, alias.name)) for alias in node.names]
        else:
            continue
        found += [Import(name, node in for_types, node in later) for name in names]
    return found


@cache
def modules(root: Path) -> Mapping[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def _all(root: Path) -> Mapping[str, list[Import]]:
    """What each module of a package imports."""
    table = {}
    for name, path in modules(root).items():
        package = tuple(name.split(".")) if path.stem == "__init__" else tuple(name.split(".")[:-1])
        table[name] = imported(path, package)
    return table


@cache
def imports(root: Path, at_run_time: bool = False, at_once: bool = False) -> Mapping[str, frozenset[str]]:
    """The whole names that each module of a package imports.

    Args:
        root: of the package.
        at_run_time: leave out what is below ``if TYPE_CHECKING:``.
        at_once: leave out what is inside functions, too.
    """
    return {
        module: frozenset(
            found.name for found in names if not (at_run_time and found.for_types) and not (at_once and found.later)
        )
        for module, names in _all(root).items()
    }


@cache
def arrows(root: Path, at_run_time: bool = False, at_once: bool = False) -> Mapping[str, frozenset[str]]:
    """Which modules of a package each of its modules imports, as `imports` tells. A name is looked up as a module
    first, then as something inside one."""
    known = modules(root)
    graph = {}
    for module, names in imports(root, at_run_time, at_once).items():
        there = {name if name in known else name.rpartition(".")[0] for name in names}
        graph[module] = frozenset(name for name in there if name in known and name != module)
    return graph


def reached(graph: Mapping[str, Set[str]], start: str) -> set[str]:
    """The nodes that can be reached from ``start``, itself included."""
    found, waiting = {start}, [start]
    while waiting:
        more = graph.get(waiting.pop(), frozenset()) - found
        found |= more
        waiting += more
    return found


def circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
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
