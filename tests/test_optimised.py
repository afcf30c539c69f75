"""``python -O`` drops assert statements: nothing that the package does or refuses may be one.

Knows: the syntax of assert statements, and a script that runs a slice of everything. Does not know: what is in it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import streamrvq
from tests.support.imports import statements
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

PACKAGE = Path(streamrvq.__file__).parent
#: What an assert statement may call: it changes nothing.
PURE = {"isinstance", "len", "callable", "all", "any", "min", "max"}


def side_effects(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and kind of everything in assert statements that has an effect."""
    found = []
    for statement in (node for node in statements(tree) if isinstance(node, ast.Assert)):
        for node in ast.walk(statement):
            pure = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PURE
            effects = (ast.Call, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
            if isinstance(node, effects) and not pure:
                found.append((statement.lineno, type(node).__name__))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_asserts_only_look(path: Path) -> None:
    assert side_effects(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "statement, kind",
    [
        ("assert self.fill()", "Call"),
        ("assert (n := 3)", "NamedExpr"),
        ("async def f(): assert await g", "Await"),
        ("assert isinstance(f(), int)", "Call"),
        ("assert x, f()", "Call"),
    ],
)
def test_the_search_finds(statement: str, kind: str) -> None:
    assert side_effects(ast.parse(statement)) == [(1, kind)]


def test_a_slice_of_everything_without_asserts(tmp_path: Path) -> None:
    script = ROOT / "tests" / "support" / "optimised.py"
    done = subprocess.run(
        [sys.executable, "-O", "-W", "error", str(script), str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("every check holds\n"), done.stdout
