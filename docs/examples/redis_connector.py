"""A connector for a server of the field: Redis keeps values and wakes consumers.

It needs the package `redis`, and a Redis server, maybe one for a whole cluster:

    from redis_connector import RedisConnector

    with Store("example", RedisConnector("redis://localhost:6379")) as store:
        future = store.future(str)

Each key is a Redis stream that gets one entry, whose ID is always 0-1. The
server refuses a second one, since IDs must grow: so exactly one setter wins.
`XREAD BLOCK` waits in the server for the entry and brings the value along. It
takes nothing away, so any number of consumers can wait.
"""

from __future__ import annotations

import math
import os
import re
import time
from typing import Any, NamedTuple

import redis
from redis.connection import ConnectionPool, parse_url

from connectors import (
    AlreadySetError,
    BytesLike,
    ConnectorError,
    InvalidKeyError,
    checked_timeout,
)

# Seconds. A server that is silent for longer counts as gone.
PATIENCE = 30


class RedisKey(NamedTuple):
    """A key of a `RedisConnector`."""

    id: str


class RedisConnector:
    """Keeps values in a Redis server, for all who can reach it.

    Closing the connector leaves the values there: the server is not its own.

    Args:
        url: `redis://HOST:PORT/DATABASE`, or `rediss:` for TLS, or
            `unix:///PATH`. A password stands before the host, as in
            `redis://:PASSWORD@HOST`. Options of the package can follow:
            `rediss://HOST?ssl_ca_certs=FILE`.

    Raises:
        ValueError: `url` is none of these.
    """

    def __init__(self, url: str) -> None:
        # A password in `url` stays in this process, out of config() and pickles.
        # Elsewhere, a copy takes it from the environment, as redis-cli does.
        self._url = re.sub(r"(?<=:)[^/?#]*(?=@)|(?<=password=)[^&]*", "", url)
        self._options: dict[str, Any] = {
            "password": os.environ.get("REDISCLI_AUTH"),
            "socket_timeout": PATIENCE,
            "max_connections": 2**31,  # not 100: each waiter takes one
            **parse_url(url),
            "protocol": 2,
        }
        self._is_closed = False
        self._open_pool()

    def new_key(self, obj: BytesLike | None = None) -> RedisKey:
        return RedisKey(os.urandom(16).hex())

    def put(self, obj: BytesLike) -> RedisKey:
        key = self.new_key()
        self.set(key, obj)
        return key

    def set(self, key: RedisKey, obj: BytesLike) -> None:
        value = obj if isinstance(obj, bytes) else bytes(memoryview(obj))
        try:
            self._ask("XADD", self._name(key), "0-1", "value", value)
        except ConnectorError as error:
            if "equal or smaller" in str(error):  # Redis has no code for it
                raise AlreadySetError(f"{key} is set already.") from None
            raise

    def get(self, key: RedisKey) -> bytes | None:
        return self.wait(key, timeout=0)

    def wait(self, key: RedisKey, timeout: float | None = None) -> bytes | None:
        name, end = self._name(key), time.monotonic() + checked_timeout(timeout)
        while True:
            # A second at a time, since close() cannot wake us. The last time
            # without BLOCK, since BLOCK 0 is for ever.
            seconds = min(max(end - time.monotonic(), 0), 1)
            block = ("BLOCK", math.ceil(1000 * seconds)) if seconds else ()
            if answer := self._ask("XREAD", *block, "STREAMS", name, "0"):
                [[_, [[_, [_, value]]]]] = answer  # stream, entry, field
                return bytes(value)
            if not block:
                return None

    def exists(self, key: RedisKey) -> bool:
        return bool(self._ask("EXISTS", self._name(key)))

    def evict(self, key: RedisKey) -> None:
        self._ask("UNLINK", self._name(key))

    def config(self) -> dict[str, Any]:
        return {"url": self._url}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RedisConnector:
        return cls(config["url"])

    def close(self) -> None:
        self._is_closed = True
        self._pool.disconnect(inuse_connections=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return RedisConnector.from_config, (self.config(),)

    def __repr__(self) -> str:
        return f"<RedisConnector url={self._url!r}>"

    def _name(self, key: RedisKey) -> str:
        if isinstance(key, RedisKey):
            return f"proxyfuture:{key.id}"  # so it cannot be another's
        raise InvalidKeyError(f"key must be a RedisConnector's, not {key!r}.")

    def _open_pool(self) -> None:
        self._pool, self._pid = ConnectionPool(**self._options), os.getpid()

    def _ask(self, *command: str | bytes | int) -> Any:
        """Sends a command to the server, once, and returns the answer."""
        if self._is_closed:
            raise ConnectorError(f"{self!r} was closed. Open a new one to go on.")
        if self._pid != os.getpid():  # forked; the parent goes on using its own
            self._open_pool()
        pool = self._pool
        try:
            connection = pool.get_connection()  # a new one after a restart
            try:
                connection.send_command(*command)
                return connection.read_response()
            except redis.ResponseError:  # an answer, too
                raise
            except BaseException:
                # Ctrl-C, for instance. The answer is still to come, and would
                # become that of the next call.
                connection.disconnect()
                raise
            finally:
                if self._is_closed:
                    connection.disconnect()
                pool.release(connection)
        except (redis.RedisError, UnicodeError) as error:  # UnicodeError: bad host
            raise ConnectorError(
                f"The Redis server at {self._url} cannot be used: {error} It "
                "must run, be reachable from here, have room, and accept the "
                "password in url or in the environment variable REDISCLI_AUTH."
            ) from error
