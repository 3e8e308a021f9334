"""Where Linux's own things are missing, as on Windows, the modules work nevertheless.

This is a simulation, on one machine: what Windows lacks is deleted before anything is imported, in
the program and in the servers that it starts. Windows itself has not been tried.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import LIMIT
from support import ROOT

BARE = """
import os, runpy, signal, socket, sys

for module, names in {
    os: ["fork", "forkpty", "register_at_fork", "geteuid", "getuid", "setsid", "killpg"],
    socket: ["AF_UNIX"],
    signal: ["SIGHUP", "SIGKILL", "SIGALRM", "pthread_sigmask"],
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

arguments = sys.argv[1:]
while arguments[0].startswith("-"):  # the interpreter's options
    del arguments[0]
sys.argv = arguments
runpy.run_path(arguments[0], run_name="__main__")
"""

EXAMPLE = """
import os, socket, sys
sys.executable = sys.argv[3]
assert not hasattr(os, "fork") and not hasattr(os, "geteuid") and not hasattr(socket, "AF_UNIX")

import pickle
import threading
from connectors import FileConnector, LocalConnector, ManagerConnector
from proxyfuture import ProxyFuture, Store

CONNECTORS = {
    "local": LocalConnector,
    "file": lambda: FileConnector(sys.argv[2]),
    "manager": ManagerConnector,
}

if __name__ == "__main__":
    with Store("example", CONNECTORS[sys.argv[1]]()) as store:
        future = store.future(str)
        proxy = pickle.loads(pickle.dumps(future.proxy()))
        producer = threading.Timer(0.1, future.set_result, ["value"])
        producer.start()
        print(proxy.upper(), type(store.connector.config().get("address")).__name__)
        producer.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the simulation is a shell script")
@pytest.mark.parametrize(
    ("kind", "address"), [("local", "NoneType"), ("file", "NoneType"), ("manager", "tuple")]
)
def test_the_example_works_without_fork_user_ids_and_unix_sockets(
    kind: str, address: str, tmp_path: Path
) -> None:
    (tmp_path / "bare.py").write_text(BARE)
    (tmp_path / "example.py").write_text(EXAMPLE)
    # An interpreter that lacks things, for the program and, as sys.executable, for its server.
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/bare.py" "$@"\n')
    interpreter.chmod(0o700)
    ran = subprocess.run(
        [interpreter, tmp_path / "example.py", kind, tmp_path / "values", interpreter],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (ran.stdout, ran.stderr) == (f"VALUE {address}\n", "")
    assert not (tmp_path / "values").exists()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_a_type_checker_finds_no_error_on_other_platforms(platform: str, tmp_path: Path) -> None:
    mypy = "-m", "mypy", "--strict", "--platform", platform, "--cache-dir", str(tmp_path)
    checked = subprocess.run(
        [sys.executable, *mypy, "connectors.py", "proxyfuture.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
