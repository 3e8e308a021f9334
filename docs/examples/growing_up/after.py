"""Squares that one process makes and another one adds up, with ProxyStore."""

from concurrent.futures import ProcessPoolExecutor

from proxystore.connectors.file import FileConnector
from proxystore.store import Store
from proxystore.store.future import Future


def foo(future: Future[list[int]]) -> None:
    future.set_result([n * n for n in range(100)])


def bar(squares: list[int]) -> int:
    return sum(squares)


def main() -> None:
    with (
        Store("growing-up", FileConnector("values"), register=True) as store,
        ProcessPoolExecutor(2) as executor,
    ):
        future: Future[list[int]] = store.future(
            polling_interval=0.01,
            polling_timeout=60,
        )
        running_bar = executor.submit(bar, future.proxy())
        running_foo = executor.submit(foo, future)
        running_foo.result()
        print(running_bar.result())


if __name__ == "__main__":
    main()
