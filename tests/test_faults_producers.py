"""Faults of producers: they race, fail, and are killed. Consumers get one whole answer."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import faults
import pytest
from conformance import LIMIT, SETTLING, in_thread
from faults import KINDS, PROMPT, SHARED_KINDS, Nursery, fork, opened, spawn

from proxyfuture import (
    BrokenFutureError,
    ProxyFuture,
    ProxyResolveError,
    SerializationError,
    Store,
    resolve,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

from foo_bar import report_failure

known_key, medium, store = faults.known_key, faults.medium, faults.store
nursery, reached = faults.nursery, faults.reached


# Producers that race


Value = tuple[int, bytes]


def value_of(racer: int, number: int) -> Value:
    """Returns a racer's value, small and large in turn: they may travel in different ways."""
    return racer, bytes([racer]) * (100_000 if number % 2 else 10)


def racer_of(value: Value, number: int) -> int:
    """Tells whose value it is, which must be whole."""
    assert (value == value_of(value[0], number)) is True
    return value[0]


def sets_first(future: ProxyFuture[Value], value: Value) -> bool:
    try:
        future.set_result(value)
    except InvalidStateError:
        return False
    return True


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_of_8_racing_threads_exactly_one_wins_and_every_reader_sees_its_value(
    store: Store, reached: Callable[..., None]
) -> None:
    rounds, racers = 500, 8
    futures: list[ProxyFuture[Value]] = [store.future() for _ in range(rounds)]
    start = threading.Barrier(racers)

    def race(racer: int) -> list[bool]:
        won = []
        for number, future in enumerate(futures):
            start.wait(LIMIT)
            won.append(sets_first(future, value_of(racer, number)))
        return won

    def read() -> list[int]:
        return [racer_of(future.result(LIMIT), number) for number, future in enumerate(futures)]

    readers = [in_thread(read) for _ in range(2)]  # blocked, most of the time
    racing = [in_thread(race, racer) for racer in range(racers)]
    won = [race.result(2 * LIMIT) for race in racing]
    seen = [reader.result(LIMIT) for reader in [*readers, in_thread(read)]]

    decided = 0
    for number in range(rounds):
        (winner,) = [racer for racer in range(racers) if won[racer][number]]
        assert {reader[number] for reader in seen} == {winner}
        decided += 1
    reached(races=decided, different_winners=len(set(seen[0])))
    assert decided == rounds


START: list[Barrier] = []  # in the racing processes: the one that they share


def share(start: Barrier) -> None:
    START.append(start)


def race_in_process(futures: Sequence[ProxyFuture[Value]], racer: int) -> list[tuple[bool, int]]:
    """Returns for each race whether this process won, and whose value it then saw."""
    outcomes = []
    for number, future in enumerate(futures):
        START[0].wait(LIMIT)
        won = sets_first(future, value_of(racer, number))
        outcomes.append((won, racer_of(future.result(LIMIT), number)))
    return outcomes


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SHARED_KINDS)
def test_of_4_racing_processes_exactly_one_wins_and_every_reader_sees_its_value(
    store: Store, reached: Callable[..., None]
) -> None:
    rounds, racers = 100, 4
    futures: list[ProxyFuture[Value]] = [store.future() for _ in range(rounds)]
    start = spawn.Barrier(racers)

    def read() -> list[int]:
        return [racer_of(future.result(LIMIT), number) for number, future in enumerate(futures)]

    reader = in_thread(read)
    with ProcessPoolExecutor(racers, spawn, share, (start,)) as processes:
        racing = [processes.submit(race_in_process, futures, racer) for racer in range(racers)]
        outcomes = [race.result(2 * LIMIT) for race in racing]
    seen_here = reader.result(LIMIT)

    decided = 0
    for number in range(rounds):
        (winner,) = [racer for racer in range(racers) if outcomes[racer][number][0]]
        assert {outcome[number][1] for outcome in outcomes} == {winner}
        assert seen_here[number] == winner
        decided += 1
    reached(races=decided, different_winners=len(set(seen_here)))
    assert decided == rounds


# Producers that are killed


class Kills(NamedTuple):
    """How many producers were killed before anybody could see their value, and after."""

    early: int = 0
    late: int = 0


def kill_producers(medium: Store, kills: int, seed: int) -> Kills:
    """Kills producers of 20 MB, at any moment of the time that one takes to set its result."""
    chance = random.Random(seed)
    value = chance.randbytes(20_000_000)
    # Bytes as they are, since no pickling should take a part of that time.
    store = Store("bytes", medium.connector, serializer=bytes, deserializer=bytes, cache_size=0)

    def sees_the_whole(future: ProxyFuture[bytes]) -> bool:
        seen = store.get(future.key)
        assert (seen is None or seen == value) is True  # and no part of it
        return seen is not None

    def is_set_by_another(future: ProxyFuture[bytes]) -> bool:
        try:
            future.set_result(b"of another producer")
        except InvalidStateError:  # a server has only now taken in what was sent as a whole
            return False
        assert future.result(LIMIT) == b"of another producer"
        return True

    early = late = 0
    needed = LIMIT  # at first; then the seconds that the last one took which finished
    while early + late < kills:
        future: ProxyFuture[bytes] = store.future()
        producer = fork.Process(target=future.set_result, args=(value,))
        start = time.monotonic()
        producer.start()
        end = start + (needed if needed == LIMIT else chance.uniform(0, needed))
        while time.monotonic() < end:
            if sees_the_whole(future):
                needed = time.monotonic() - start
                break
        producer.kill()
        producer.join()
        if not sees_the_whole(future) and is_set_by_another(future):
            early += 1
        else:
            assert sees_the_whole(future)
            late += producer.exitcode == -signal.SIGKILL  # and not 0: it was over already
        store.evict(future.key)
    return Kills(early, late)


@pytest.mark.timeout(120)
def test_a_file_of_a_killed_producer_is_whole_or_unseen_and_the_creator_removes_the_rest(
    tmp_path: Path, nursery: Nursery, reached: Callable[..., None]
) -> None:
    killed, partials = 0, 0
    for seed in range(10):  # stores, since what 200 producers leave would fill some disks
        with opened("file", tmp_path) as (store, directory, _):
            early, late = nursery(kill_producers, store, 20, seed).result(2 * LIMIT)
            left = list(directory.iterdir())
            assert all(file.suffix == ".partial" for file in left)
            killed += early + late
            partials += sum(0 < file.stat().st_size < 20_000_000 for file in left)
        assert not directory.exists()
    reached(kills=killed, while_writing=partials)
    assert killed == 200
    assert partials >= 20


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["manager", "network"])
def test_a_server_keeps_no_part_of_what_a_killed_producer_was_sending(
    store: Store, nursery: Nursery, reached: Callable[..., None]
) -> None:
    early, late = nursery(kill_producers, store, 15, 0).result(2 * LIMIT)
    reached(kills=early + late, unseen=early)
    assert early + late == 15
    assert early >= 2


# Producers that fail


class HoldsLockError(Exception):
    """Cannot be pickled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.lock = threading.Lock()


class TwoArgumentsError(Exception):
    """Can be pickled, but not rebuilt: Python would call it with the one of `args`."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)


class RefusesToBeRebuilt:
    """A value that can be pickled, but not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def raises(error: BaseException, future: ProxyFuture[Any]) -> None:
    with future:
        raise error


def raises_what_cannot_be_pickled(future: ProxyFuture[Any]) -> None:
    raises(HoldsLockError("reason"), future)


def raises_what_cannot_be_rebuilt(future: ProxyFuture[Any]) -> None:
    raises(TwoArgumentsError("reason", 7), future)


def sets_what_cannot_be_pickled(future: ProxyFuture[Any]) -> None:
    with future:
        future.set_result(threading.Lock())


def sets_what_cannot_be_rebuilt(future: ProxyFuture[Any]) -> None:
    with future:
        future.set_result(RefusesToBeRebuilt())


def forgets(future: ProxyFuture[Any]) -> None:
    with future:
        pass


def exits(future: ProxyFuture[Any]) -> None:
    with future:
        sys.exit("reason")


def is_interrupted(future: ProxyFuture[Any]) -> None:
    with future:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(LIMIT)


def recurses(future: ProxyFuture[Any]) -> None:
    with future:
        recurses(future)


Producer = Callable[[ProxyFuture[Any]], None]


def failure_of(producer: Producer, future: ProxyFuture[Any]) -> tuple[float, str]:
    """Returns when the producer was over, and the type of the error that it ended with."""
    error = ""
    try:
        producer(future)
    except BaseException as failure:  # which may be one that cannot travel
        error = type(failure).__name__
    return time.monotonic(), error


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SHARED_KINDS)
@pytest.mark.parametrize(
    ("producer", "in_producer", "in_consumer", "text"),
    [
        (partial(raises, ValueError("reason")), "ValueError", ValueError, "^reason$"),
        (forgets, "", BrokenFutureError, "without setting a result"),
        (sets_what_cannot_be_pickled, "SerializationError", SerializationError, "lock"),
        (sets_what_cannot_be_rebuilt, "", SerializationError, "not a number"),
        (raises_what_cannot_be_pickled, "HoldsLockError", BrokenFutureError, "HoldsLockError"),
        (raises_what_cannot_be_rebuilt, "TwoArgumentsError", BrokenFutureError, "TwoArguments"),
        (is_interrupted, "KeyboardInterrupt", KeyboardInterrupt, "^$"),
        (exits, "SystemExit", SystemExit, "^reason$"),
        (partial(raises, GeneratorExit()), "GeneratorExit", GeneratorExit, "^$"),
        (recurses, "RecursionError", RecursionError, "recursion"),
    ],
    ids=[
        "raises",
        "forgets-to-set",
        "result-cannot-be-pickled",
        "result-cannot-be-rebuilt",
        "exception-cannot-be-pickled",
        "exception-cannot-be-rebuilt",
        "is-interrupted",
        "exits",
        "generator-exit",
        "recursion",
    ],
)
def test_waiting_consumers_learn_promptly_why_a_producer_failed(
    store: Store,
    nursery: Nursery,
    producer: Producer,
    in_producer: str,
    in_consumer: type[BaseException],
    text: str,
) -> None:
    future: ProxyFuture[Any] = store.future()
    consumer = in_thread(future.result)
    consumer_of_a_proxy = in_thread(resolve, future.proxy())
    time.sleep(SETTLING)
    assert not consumer.done()

    over, error_there = nursery(failure_of, producer, future).result(LIMIT)

    error, resolve_error = consumer.exception(LIMIT), consumer_of_a_proxy.exception(LIMIT)
    assert time.monotonic() - over < PROMPT
    assert error_there == in_producer
    assert type(error) is in_consumer
    assert type(resolve_error) is ProxyResolveError
    assert type(resolve_error.__cause__) is in_consumer
    assert re.search(text, str(error))


def never_sets(future: ProxyFuture[Any]) -> None:
    with future:
        time.sleep(LIMIT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SHARED_KINDS)
def test_all_consumers_learn_that_the_worker_of_their_producers_was_killed(
    store: Store, reached: Callable[..., None]
) -> None:
    futures: list[ProxyFuture[Any]] = [store.future() for _ in range(10)]
    consumers = [in_thread(future.result) for future in futures]
    with ProcessPoolExecutor(1, spawn) as workers:
        worker = workers.submit(os.getpid).result(LIMIT)
        for future in futures:  # one is being produced, and the others wait for their turn
            running = workers.submit(never_sets, future)
            running.add_done_callback(partial(report_failure, future))
        time.sleep(SETTLING)
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        for consumer in consumers:
            with pytest.raises(BrokenProcessPool):
                consumer.result(LIMIT)
        after = time.monotonic() - killed
    reached(consumers=len(consumers), seconds=round(after, 3))
    assert after < PROMPT
