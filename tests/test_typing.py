"""What somebody gets who installs the wheel: two modules, and types that mypy believes."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from support import ROOT

USER_PROGRAM = ROOT / "tests" / "typing" / "user_program.py"

# They build, and install what pip has to fetch.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: object, folder: Path) -> str:
    """Runs a command where the checkout cannot be imported, and returns what it printed."""
    hidden = {"PYTHONPATH", "MYPYPATH", "VIRTUAL_ENV"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Installed(NamedTuple):
    folder: Path
    python: Path


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source distribution, and of the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment with the wheel, and with the mypy that checks this project."""
    folder = tmp_path_factory.mktemp("user")
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    mypy = f"mypy=={importlib.metadata.version('mypy')}"
    [wheel] = dist.glob("*.whl")
    run(python, "-m", "pip", "install", "--quiet", wheel, mypy, folder=folder)
    return Installed(folder, python)


def contents(folder: Path) -> dict[str, bytes]:
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_each_module_as_it_is_and_as_its_own_stub_and_nothing_else(
    dist: Path,
) -> None:
    files = {name: text for name, text in contents(dist).items() if ".dist-info/" not in name}
    for module in "proxyfuture", "connectors":
        source = (ROOT / f"{module}.py").read_bytes()
        assert files.pop(f"{module}.py") == files.pop(f"{module}-stubs/__init__.pyi") == source
    assert not files


def test_the_wheel_needs_nothing_else_to_run(dist: Path) -> None:
    [metadata] = [text for name, text in contents(dist).items() if name.endswith("METADATA")]
    required = [line for line in metadata.splitlines() if line.startswith(b"Requires-Dist:")]
    assert all(b"extra ==" in line for line in required)


def test_the_source_distribution_has_the_tests_and_the_pages(dist: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"proxyfuture.py", "connectors.py", "tests/test_typing.py", "docs/limits.md"} <= names
    assert not any("__pycache__" in name or name.startswith(".git/") for name in names)


def test_a_wheel_made_straight_from_the_checkout_is_the_same(dist: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT, folder=tmp_path)
    assert contents(tmp_path) == contents(dist)


def test_the_installed_modules_are_imported(installed: Installed) -> None:
    program = "import connectors, proxyfuture; print(connectors.__file__, proxyfuture.__file__)"
    for path in run(installed.python, "-I", "-c", program, folder=installed.folder).split():
        assert Path(path).is_relative_to(installed.folder)


def test_the_installed_server_has_a_command_line(installed: Installed) -> None:
    printed = run(installed.python, "-m", "connectors", "serve", "-h", folder=installed.folder)
    assert "HOST:PORT" in printed


def mypy(installed: Installed, *arguments: object) -> str:
    """Runs mypy without any configuration, as somebody with the defaults would."""
    command = (installed.python, "-m", "mypy", "--config-file=", "--strict", *arguments)
    return run(*command, folder=installed.folder)


def test_mypy_infers_the_types_and_notices_the_mistakes(installed: Installed) -> None:
    assert "Success" in mypy(installed, USER_PROGRAM)


def test_mypy_finds_the_types_in_the_installed_modules(installed: Installed) -> None:
    # With the types missing, an import would be an error, and everything would be Any.
    program = "import connectors, proxyfuture; reveal_type(proxyfuture.Store.future)"
    printed = mypy(installed, "-c", program)
    assert "def [T] (self: proxyfuture.Store" in printed
    assert "ProxyFuture[T" in printed
