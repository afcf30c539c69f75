"""Habits of the sources: a failing test shows which claim failed, a docstring begins with a summary.

Knows: the syntax trees of the package, the tools, the demos and the tests. Does not know what they compute.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.support.imports import statements
from tests.support.paths import ROOT

#: Headings of a docstring's sections: what they list belongs after a sentence that says what the thing is.
HEADINGS = ("Args:", "Arguments:", "Attributes:", "Raises:", "Returns:", "Yields:", "Note:", "Example:")

Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


#: What is told of a source: the lines of asserts that join claims, and of docstrings that begin with a heading.
Odd = tuple[list[int], list[int]]


@cache
def read(folder: str) -> dict[Path, Odd]:
    """Each source below a folder of the checkout; parsed once for all tests."""
    return {path.relative_to(ROOT): odd(path.read_text(encoding="utf-8")) for path in (ROOT / folder).rglob("*.py")}


def odd(source: str) -> Odd:
    tree = ast.parse(source)
    joined, bare = [], []
    for node in (tree, *statements(tree)):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            joined.append(node.lineno)
        if isinstance(node, Documented) and (ast.get_docstring(node) or "").startswith(HEADINGS):
            bare.append(1 if isinstance(node, ast.Module) else node.lineno)
    return joined, bare


def test_an_assert_makes_one_claim() -> None:
    joined = [f"{path}:{line}" for path, (lines, _) in sorted(read("tests").items()) for line in lines]
    assert joined == [], f"split `assert a and b`, so that a failure shows which one it was: {joined}"


def test_a_docstring_begins_with_a_summary() -> None:
    folders = ("streamrvq", "tools", "demos", "tests")
    bare = [f"{path}:{line}" for name in folders for path, (_, lines) in sorted(read(name).items()) for line in lines]
    assert bare == [], f"say in a sentence what it is, then list its arguments: {bare}"


def test_the_search_finds_both() -> None:
    source = 'def f():\n    """Args:\n    x"""\n    with a:\n        if b:\n            assert c and d\n'
    assert odd(source) == ([6], [1])
    assert odd('"""Note: x"""\nclass A:\n    "Raises: y"\n') == ([], [1, 2])


def test_names_of_tests_are_the_same_in_every_process(request: pytest.FixtureRequest) -> None:
    """The two workers of a whole run compare their lists of tests, and stop where they differ."""
    odd = [item.nodeid[:200] for item in request.session.items if " at 0x" in item.nodeid]
    assert odd == [], f"give `parametrize` ids that hold no address: {odd}"
