"""Exercise 17: the test that finds two winners."""

from __future__ import annotations

from functools import partial
from typing import Any

from stepping import moments


def test_of_two_that_set_a_key_one_wins(Connector: Any) -> None:
    """Fails for each class `Connector` that does not keep what it promises to racing threads."""
    for moment in moments():
        connector = Connector()
        key = connector.new_key()
        setters = moment.meet(
            partial(connector.set, key, b"one"), partial(connector.set, key, b"other")
        )
        errors = [setter.error(f"two met {moment}, and one waits for ever") for setter in setters]
        told = [type(error).__name__ for error in errors if error is not None]
        assert told == ["AlreadySetError"], (
            f"two threads set a key, one came while the other one was {moment}, and they were "
            f"told {told}; exactly one wins"
        )
        winner = b"one" if errors[0] is None else b"other"
        found = connector.get(key)
        assert found == winner, f"{winner!r} won, and {found!r} is there: they met {moment}"
