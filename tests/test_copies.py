"""A copy works under any name, and copies work together: what they share is no code of theirs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import LIMIT, in_thread
from support import AUTHKEY, AUTHKEY_VARIABLE, ROOT, python

from connectors import FileConnector, ManagerConnector

# A program of somebody who copied `connectors` under the name of its first argument. It waits for
# one key, and sets another.
PROGRAM = """
import importlib, json, sys

module, connector_type, key_type, config, first, second = sys.argv[1:]
copied = importlib.import_module(module)
connector = getattr(copied, connector_type).from_config(json.loads(config))
key_of = getattr(copied, key_type)
connector.set(key_of(second), connector.wait(key_of(first), 20).upper())
"""

NAMES = ["another_name", "package.within.connectors"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    for name in NAMES:
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((ROOT / "connectors.py").read_text())
    (folder / "program.py").write_text(PROGRAM)
    return folder


@pytest.fixture(params=[ManagerConnector, FileConnector], ids=lambda kind: kind.__name__)
def connector(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.setenv(AUTHKEY_VARIABLE, AUTHKEY)
    arguments = [tmp_path / "values"] if request.param is FileConnector else []
    with request.param(*arguments) as connector:
        yield connector


@pytest.mark.parametrize("name", NAMES)
def test_programs_with_copies_under_other_names_share_values(
    connector: Any, copies: Path, name: str
) -> None:
    first, second = connector.new_key(), connector.new_key()
    types = type(connector).__name__, type(first).__name__
    program = python("program.py", name, *types, json.dumps(connector.config()), *first, *second)
    waiter = in_thread(connector.wait, second, LIMIT)
    with subprocess.Popen(**{**program, "cwd": copies}) as process:
        connector.set(first, b"value")
        assert process.wait(LIMIT) == 0
    assert waiter.result(LIMIT) == b"VALUE"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_under_another_name_starts_its_server(copies: Path, name: str) -> None:
    program = f"import {name} as copied; print(copied.ManagerConnector().put(b'value'))"
    done = subprocess.run(
        **{**python("-c", program), "cwd": copies}, capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.stdout[:11], done.stderr) == ("ManagerKey(", "")
