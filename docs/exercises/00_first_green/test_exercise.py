"""What is handed over makes the value, and not before somebody calls it."""

import exercise
import pytest


class Produce:
    """Takes the place of `produce`, and counts how often it was called."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        return f"value {self.runs}"


@pytest.fixture
def produce(monkeypatch: pytest.MonkeyPatch) -> Produce:
    replacement = Produce()
    monkeypatch.setattr(exercise, "produce", replacement)
    return replacement


def test_handing_over_makes_nothing(produce: Produce) -> None:
    exercise.hand_over()
    assert produce.runs == 0, (
        "hand_over() called produce(), so somebody waited for the value already; "
        "hand over `produce` itself"
    )


def test_what_is_handed_over_makes_the_value(produce: Produce) -> None:
    factory = exercise.hand_over()
    assert callable(factory), f"hand_over() returned {factory!r}, which nobody can call"
    value = factory()
    assert value == "value 1", (
        f"the factory was called, and gave {value!r}; it must give what produce() gives now"
    )
