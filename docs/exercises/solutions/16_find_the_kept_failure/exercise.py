"""Exercise 16: the test that finds a failure that is kept."""

from __future__ import annotations

from typing import Any


def test_a_failure_is_not_kept(Lazy: Any) -> None:
    """Fails for each class `Lazy` that does not keep what it promises about failures."""
    errors = [ConnectionError("away"), ConnectionError("still away")]
    runs = []

    def factory() -> str:
        runs.append("run")
        if len(runs) <= len(errors):
            raise errors[len(runs) - 1]
        return "value"

    lazy = Lazy(factory)
    for number, error in enumerate(errors, start=1):
        raised = None
        try:
            lazy.resolve()
        except ConnectionError as caught:
            raised = caught
        assert raised is error, f"failure {number} was {error!r}, and resolve() raised {raised!r}"
        assert len(runs) == number, f"after use {number}, the factory had run {len(runs)} times"
    for _ in range(2):
        value = lazy.resolve()
        assert value == "value", f"the factory returned 'value', and resolve() {value!r}"
    assert len(runs) == 3, f"two failures and a value, and the factory ran {len(runs)} times"
