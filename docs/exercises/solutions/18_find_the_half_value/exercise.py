"""Exercise 18: the test that finds half a value."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

from stepping import moments


def test_a_reader_sees_nothing_or_the_whole_value(Connector: Any) -> None:
    """Fails for each class `Connector` that shows something else than a value, at any moment."""
    value = b"value"
    with tempfile.TemporaryDirectory() as directory:
        for moment in moments():
            connector, other = Connector(directory), Connector(directory)
            key = connector.new_key()
            writer, reader = moment.meet(
                partial(connector.set, key, value), partial(other.get, key)
            )
            found = reader.result(f"a reader came {moment}, and waits for ever")
            assert found in (None, value), f"a reader came {moment}, and found {found!r}"
            writer.result(f"a reader came {moment}, and set() does not end")
            found = other.get(key)
            assert found == value, f"set() has returned, and a reader found {found!r}"
