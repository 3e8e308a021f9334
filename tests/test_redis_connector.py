"""RedisConnector, the worked example, keeps every promise, also when its server does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis_server
from conformance import WaitableConformance
from redis_connector import RedisConnector

redis_url = redis_server.redis_url


class TestRedisConnector(WaitableConformance):
    @pytest.fixture
    def connector(self, redis_url: str) -> Iterator[RedisConnector]:
        with contextlib.closing(RedisConnector(redis_url)) as connector:
            yield connector
