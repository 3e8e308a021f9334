"""The two modules stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import connectors
import proxyfuture

MODULES = [Path(connectors.__file__), Path(proxyfuture.__file__)]

MOST_LINES, MOST_CODE = 1_600, 1_000

IN_ONE_PAGE = MODULES[0].parent / "docs" / "examples" / "in_one_page.py"


def count_lines(source: str) -> tuple[int, int]:
    """Returns how many lines there are, and how many of them are code.

    Code is what is no docstring, comment or blank.
    """
    lines = source.splitlines()
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code = [
        line
        for number, line in enumerate(lines, start=1)
        if number not in documentation and line.strip() and not line.strip().startswith("#")
    ]
    return len(lines), len(code)


def test_the_two_modules_can_be_read_in_one_sitting() -> None:
    counts = [count_lines(module.read_text(encoding="utf-8")) for module in MODULES]
    lines, code = map(sum, zip(*counts, strict=True))
    print(f"{lines} lines, {code} of them code")
    assert lines <= MOST_LINES
    assert code <= MOST_CODE


def test_the_whole_idea_fits_on_one_page_that_a_lecturer_can_project() -> None:
    lines = IN_ONE_PAGE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 88


def test_they_need_nothing_but_the_standard_library_and_none_of_its_system_interfaces() -> None:
    imported = {
        name.partition(".")[0]
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - {"connectors"} <= sys.stdlib_module_names
    assert not imported & {"socket", "struct", "mmap", "resource", "ctypes", "fcntl"}


if __name__ == "__main__":
    for module in MODULES:
        lines, code = count_lines(module.read_text(encoding="utf-8"))
        print(f"{module.name}: {lines} lines, {code} of them code")
