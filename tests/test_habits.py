"""Habits of the sources: a failing test shows which claim failed, a docstring begins with a summary.

Knows: the syntax trees of the package, the tools, the demos and the tests. Does not know what they compute.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

#: Headings of a docstring's sections: what they list belongs after a sentence that says what the thing is.
HEADINGS = ("Args:", "Arguments:", "Attributes:", "Raises:", "Returns:", "Yields:", "Note:", "Example:")

Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def test_an_assert_makes_one_claim() -> None:
    joined = [
        f"{path}:{node.lineno}"
        for path, tree in trees("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
    ]
    assert joined == [], f"split `assert a and b`, so that a failure shows which one it was: {joined}"


def test_a_docstring_begins_with_a_summary() -> None:
    bare = [
        f"{path}:{node.lineno if not isinstance(node, ast.Module) else 1}"
        for path, tree in trees("streamrvq", "tools", "demos", "tests")
        for node in ast.walk(tree)
        if isinstance(node, Documented) and (ast.get_docstring(node) or "").startswith(HEADINGS)
    ]
    assert bare == [], f"say in a sentence what it is, then list its arguments: {bare}"


def test_names_of_tests_are_the_same_in_every_process(request: pytest.FixtureRequest) -> None:
    """The two workers of a whole run compare their lists of tests, and stop where they differ."""
    odd = [item.nodeid[:200] for item in request.session.items if " at 0x" in item.nodeid]
    assert odd == [], f"give `parametrize` ids that hold no address: {odd}"
