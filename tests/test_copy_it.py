"""What the page about copying says: the two files work elsewhere, and so do parts of them."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest
from support import ROOT, run

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "copy_it.md").read_text()

# A program of somebody who copied the files.
PROGRAM = """
from multiprocessing import get_context
from threading import Thread

from connectors import {connector}
from proxyfuture import ProxyFuture, Store


def bar(name: str) -> None:
    print(name.upper())


if __name__ == "__main__":
    with Store("copied", {connector}({arguments})) as store:
        future: ProxyFuture[str] = store.future()
        future.set_result("value")
        consumer = {consumer}(target=bar, args=(future.proxy(),))
        consumer.start()
        consumer.join()
"""

PROGRAMS = {
    connector: PROGRAM.format(connector=connector, arguments=arguments, consumer=consumer)
    for connector, arguments, consumer in [
        ("LocalConnector", "", "Thread"),
        ("FileConnector", "'values'", "get_context('spawn').Process"),
        ("ManagerConnector", "", "get_context('spawn').Process"),
    ]
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, with the files that the page offers."""
    project = tmp_path / "project"
    project.mkdir()
    for name in re.findall(r'\]\((\w+\.py)\)\{ .*download="\1"', PAGE):
        shutil.copy(ROOT / name, project)
    return project


def printed_by(project: Path, *arguments: str) -> str:
    """Runs Python where it finds only what is in the project."""
    done = run(*arguments, cwd=project, PYTHONPATH="")
    return done.stdout + done.stderr


def run_with(connector: str, project: Path) -> str:
    (project / "program.py").write_text(PROGRAMS[connector])
    return printed_by(project, "-S", "program.py")  # -S: no packages, only the standard library


@pytest.mark.parametrize("connector", PROGRAMS)
def test_the_two_files_and_the_standard_library_are_enough(project: Path, connector: str) -> None:
    assert sorted(path.name for path in project.iterdir()) == ["connectors.py", "proxyfuture.py"]
    assert run_with(connector, project) == "VALUE\n"


def test_in_a_package_one_import_becomes_relative(project: Path) -> None:
    package = project / "package"
    package.mkdir()
    for name in ("proxyfuture.py", "connectors.py"):
        shutil.move(project / name, package)
    text = (package / "proxyfuture.py").read_text()
    relative, absolute = re.findall(r"`(from \.?connectors import \()`", PAGE)
    assert text.count(absolute) == 1
    (package / "proxyfuture.py").write_text(text.replace(absolute, relative))
    program = PROGRAMS["ManagerConnector"]
    for name in ("connectors", "proxyfuture"):
        program = program.replace(f"from {name} import", f"from .{name} import")
    (package / "__init__.py").touch()
    (package / "program.py").write_text(program)
    assert printed_by(project, "-m", "package.program") == "VALUE\n"


def test_mypy_knows_the_types_and_notices_a_wrong_argument(project: Path) -> None:
    program = PROGRAMS["LocalConnector"] + "        bar(future.proxy())\n"
    [command] = re.findall(r"^mypy .*$", PAGE, re.M)
    (project / "your_program.py").write_text(program)
    assert printed_by(project, "-m", *command.split()).startswith("Success")
    (project / "your_program.py").write_text(program.replace("name: str", "name: bytes"))
    told = printed_by(project, "-m", *command.split())
    assert '"bar" has incompatible type "str"; expected "bytes"' in told


# Parts that can go

LEFT_OUT = dict(re.findall(r"^\| ([^|]+) \| in `\w+\.py`, ([^|]+) \|$", PAGE, re.M))


def test_the_page_tells_four_parts_that_can_go() -> None:
    assert len(LEFT_OUT) == 4


@pytest.mark.parametrize(
    ("unneeded", "connector"),
    [("other processes", "LocalConnector"), ("a server process", "FileConnector")],
)
def test_parts_of_connectors_can_go(project: Path, unneeded: str, connector: str) -> None:
    file = project / "connectors.py"
    first, *last = re.findall(r"`(# .*?)`", LEFT_OUT[unneeded])
    kept, found, rest = file.read_text().partition(f"\n{first}\n")
    assert found
    for heading in last:  # with which the text goes on
        _, found, after = rest.partition(f"\n{heading}\n")
        assert found
        kept += f"\n{heading}\n{after}"
    file.write_text(kept)
    assert run_with(connector, project) == "VALUE\n"


@pytest.mark.parametrize(
    "unneeded", ["`asyncio` and `as_completed`", "engines that look into arguments"]
)
def test_parts_of_proxyfuture_can_go(project: Path, unneeded: str) -> None:
    file = project / "proxyfuture.py"
    names = re.findall(r"`(\w+)`", LEFT_OUT[unneeded])
    tree = ast.parse(file.read_text())
    [future] = [node for node in tree.body if getattr(node, "name", "") == "ProxyFuture"]
    assert isinstance(future, ast.ClassDef)
    removed = 0
    for body in (tree.body, future.body):
        kept = [node for node in body if getattr(node, "name", "") not in names]
        removed += len(body) - len(kept)
        body[:] = kept
    assert removed == len(names) > 0
    file.write_text(ast.unparse(tree))
    assert run_with("ManagerConnector", project) == "VALUE\n"
