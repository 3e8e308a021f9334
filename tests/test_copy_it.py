"""What the page about copying says: the two files work elsewhere, and so do parts of them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "copy_it.md").read_text()

# A program of somebody who copied the files.
PROGRAM = """
from multiprocessing import get_context

from connectors import {connector}
from proxyfuture import ProxyFuture, Store


def bar(name: str) -> None:
    print(name.upper())


if __name__ == "__main__":
    with Store("copied", {connector}({arguments})) as store:
        future: ProxyFuture[str] = store.future()
        future.set_result("value")
        if {crosses}:
            process = get_context("spawn").Process(target=bar, args=(future.proxy(),))
            process.start()
            process.join()
        else:
            bar(future.proxy())
"""

PROGRAMS = {
    "LocalConnector": PROGRAM.format(connector="LocalConnector", arguments="", crosses=False),
    "FileConnector": PROGRAM.format(connector="FileConnector", arguments="'values'", crosses=True),
    "ManagerConnector": PROGRAM.format(connector="ManagerConnector", arguments="", crosses=True),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, after the command of the page."""
    project = tmp_path / "path" / "to" / "your" / "project"
    project.mkdir(parents=True)
    [command] = re.findall(r"^cp .*$", PAGE, re.M)
    (tmp_path / "clone").mkdir()
    for name in ("proxyfuture.py", "connectors.py", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "clone")
    command = command.replace("path/to", "../path/to")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path / "clone")
    return project


def run(folder: Path, *arguments: str) -> str:
    """Runs Python where it finds only what is in the folder, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    return done.stdout


def has_run(project: Path, connector: str) -> bool:
    (project / "program.py").write_text(PROGRAMS[connector])
    return run(project, "program.py") == "VALUE\n"


@pytest.mark.parametrize("connector", PROGRAMS)
def test_the_two_files_are_enough(project: Path, connector: str) -> None:
    assert sorted(path.name for path in project.iterdir()) == ["connectors.py", "proxyfuture.py"]
    assert has_run(project, connector)


def test_they_import_nothing_but_each_other_and_the_standard_library() -> None:
    for name in ("proxyfuture", "connectors"):
        for node in ast.walk(ast.parse((ROOT / f"{name}.py").read_text())):
            imported = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            for module in imported:
                top = module.partition(".")[0]
                assert top in sys.stdlib_module_names or (name, top) == (
                    "proxyfuture",
                    "connectors",
                )


@pytest.mark.parametrize("connector", PROGRAMS)
def test_in_a_package_one_import_becomes_relative(project: Path, connector: str) -> None:
    package = project / "package"
    package.mkdir()
    for name in ("proxyfuture.py", "connectors.py"):
        shutil.move(project / name, package)
    text = (package / "proxyfuture.py").read_text()
    absolute, relative = re.findall(r"`(from \.?connectors import \()`", PAGE)[::-1]
    assert text.count(absolute) == 1
    (package / "proxyfuture.py").write_text(text.replace(absolute, relative))
    program = re.sub(r"^from (\w+) import", r"from .\1 import", PROGRAMS[connector], flags=re.M)
    program = program.replace("from .multiprocessing", "from multiprocessing")
    (package / "__init__.py").touch()
    (package / "program.py").write_text(program)
    assert run(project, "-m", "package.program") == "VALUE\n"


def test_mypy_knows_the_types(project: Path) -> None:
    (project / "your_program.py").write_text(PROGRAMS["LocalConnector"])
    [command] = re.findall(r"^mypy .*$", PAGE, re.M)
    assert run(project, "-m", *command.split()).startswith("Success")


def test_mypy_notices_a_wrong_argument(project: Path) -> None:
    wrong = PROGRAMS["LocalConnector"].replace("def bar(name: str)", "def bar(name: bytes)")
    (project / "your_program.py").write_text(wrong)
    assert '"bar" has incompatible type "str"; expected "bytes"' in run(
        project, "-m", "mypy", "--strict", "your_program.py"
    )


# Parts that can go

LEFT_OUT = dict(re.findall(r"^\| ([^|]+) \| in `\w+\.py`, ([^|]+) \|$", PAGE, re.M))


def test_the_page_tells_four_parts_that_can_go() -> None:
    assert len(LEFT_OUT) == 4


@pytest.mark.parametrize(
    ("unneeded", "connectors"),
    [
        ("other processes", ["LocalConnector"]),
        ("a server process", ["LocalConnector", "FileConnector"]),
    ],
)
def test_parts_of_connectors_can_go(project: Path, unneeded: str, connectors: list[str]) -> None:
    first, *last = re.findall(r"`(# .*?)`", LEFT_OUT[unneeded])
    text = (project / "connectors.py").read_text()
    kept, found, rest = text.partition(f"\n{first}\n")
    assert found
    for heading in last:  # with which the text goes on
        _, found, after = rest.partition(f"\n{heading}\n")
        assert found
        kept += f"\n{heading}\n{after}"
    (project / "connectors.py").write_text(kept)
    assert all([has_run(project, connector) for connector in connectors])


@pytest.mark.parametrize(
    "unneeded", ["`asyncio` and `as_completed`", "engines that look into arguments"]
)
def test_parts_of_proxyfuture_can_go(project: Path, unneeded: str) -> None:
    file = project / "proxyfuture.py"
    names = re.findall(r"`(\w+)`", LEFT_OUT[unneeded])
    tree = ast.parse(file.read_text())
    [future] = [node for node in tree.body if getattr(node, "name", "") == "ProxyFuture"]
    assert isinstance(future, ast.ClassDef)
    before = len(tree.body) + len(future.body)
    for body in (tree.body, future.body):
        body[:] = [node for node in body if getattr(node, "name", "") not in names]
    assert before - len(tree.body) - len(future.body) == len(names) > 0
    file.write_text(ast.unparse(tree))
    assert has_run(project, "ManagerConnector")
