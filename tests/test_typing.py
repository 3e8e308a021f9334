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
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "MYPYPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Distributions(NamedTuple):
    sdist: Path
    wheel: Path


class Installed(NamedTuple):
    folder: Path
    python: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """A source distribution of the checkout, and a wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment with the wheel, and with the mypy that checks this project."""
    folder = tmp_path_factory.mktemp("user")
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    mypy = f"mypy=={importlib.metadata.version('mypy')}"
    run(python, "-m", "pip", "install", "--quiet", built.wheel, mypy, folder=folder)
    return Installed(folder, python)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("module", ["proxyfuture", "connectors"])
def test_the_wheel_has_each_module_as_it_is_and_as_its_own_stub(
    built: Distributions, module: str
) -> None:
    files, source = contents(built.wheel), (ROOT / f"{module}.py").read_bytes()
    assert files[f"{module}.py"] == files[f"{module}-stubs/__init__.pyi"] == source


def test_the_wheel_has_nothing_else_but_metadata(built: Distributions) -> None:
    names = [name for name in contents(built.wheel) if ".dist-info/" not in name]
    assert len(names) == 4


def test_the_wheel_needs_nothing_else_to_run(built: Distributions) -> None:
    [metadata] = [text for name, text in contents(built.wheel).items() if name.endswith("METADATA")]
    required = [line for line in metadata.splitlines() if line.startswith(b"Requires-Dist:")]
    assert all(b"extra ==" in line for line in required)


def test_the_source_distribution_has_the_tests_and_the_pages(built: Distributions) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"proxyfuture.py", "connectors.py", "tests/test_typing.py", "LICENSE"} <= names
    assert not any("__pycache__" in name or name.startswith(".git/") for name in names)


def test_a_wheel_made_straight_from_the_checkout_is_the_same(
    built: Distributions, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT, folder=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    assert contents(wheel) == contents(built.wheel)


@pytest.mark.parametrize("module", ["proxyfuture", "connectors"])
def test_the_installed_module_is_imported(installed: Installed, module: str) -> None:
    program = f"import {module}; print({module}.__file__)"
    printed = run(installed.python, "-I", "-c", program, folder=installed.folder)
    assert Path(printed.strip()).is_relative_to(installed.folder)
    assert Path(printed.strip()).name == f"{module}.py"


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
