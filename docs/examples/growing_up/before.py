"""Squares that one process makes and another one adds up, with this project."""

from concurrent.futures import ProcessPoolExecutor

from connectors import FileConnector
from proxyfuture import ProxyFuture, Store


def foo(future: ProxyFuture[list[int]]) -> None:
    with future:
        future.set_result([n * n for n in range(100)])


def bar(squares: list[int]) -> int:
    return sum(squares)


def main() -> None:
    with (
        Store("growing-up", FileConnector("values")) as store,
        ProcessPoolExecutor(2) as executor,
    ):
        future: ProxyFuture[list[int]] = store.future(list)
        running_bar = executor.submit(bar, future.proxy(timeout=60))
        running_foo = executor.submit(foo, future)
        running_foo.result()
        print(running_bar.result())


if __name__ == "__main__":
    main()
