"""A Redis server of one's own, for the tests of everything that uses one.

A test module takes the fixture by assigning it: `redis_url = redis_server.redis_url`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import EXAMPLES, free_port

# For docs/examples/redis_connector.py, also in processes that tests start.
sys.path.insert(0, str(EXAMPLES))


class RedisServer:
    """A `redis-server` for this machine, with some of its options, which may be mistreated."""

    def __init__(self, directory: Path, *options: object) -> None:
        if not shutil.which("redis-server"):
            pytest.skip("needs the program redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        common = "--bind", "127.0.0.1", "--port", self.port, "--dir", directory, "--save", ""
        self._command = ["redis-server", *map(str, (*common, *options))]

    def __enter__(self) -> RedisServer:
        """Starts the server, or starts it again, and returns when it serves."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        output = ""
        for line in self.process.stdout or ():
            output += line
            if "Ready to accept connections" in line:
                return self
        raise RuntimeError(f"redis-server has ended:\n{output}")

    def __exit__(self, *_: object) -> None:
        """Lets the server die without a word to anybody."""
        with self.process:  # waits for its end
            self.process.kill()

    def restart(self) -> None:
        self.__exit__()
        self.__enter__()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url
