"""Two Celery tasks that overlap. The worker needs two processes and the URL of a Redis broker.

    export BROKER=redis://localhost:6379 PROXYFUTURE_DIRECTORY=values
    celery --app celery_application worker --concurrency 2

A task gets the future, not its proxy, and makes the proxy itself. So nothing that logs or inspects
the arguments of tasks can block. JSON cannot carry a future, and so the serializer is pickle.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # the modules, in a clone of the project

from celery import Celery

from proxyfuture import ProxyFuture

application = Celery(
    "celery_application", broker=os.environ["BROKER"], backend=os.environ["BROKER"]
)
application.conf.update(
    task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"]
)


@application.task  # type: ignore[untyped-decorator]  # Celery has no types
def foo(future: ProxyFuture[list[int]]) -> None:
    with future:
        time.sleep(0.2)
        future.set_result([1, 2, 3])


@application.task  # type: ignore[untyped-decorator]  # Celery has no types
def bar(future: ProxyFuture[list[int]]) -> int:
    numbers = future.proxy(timeout=60)
    return sum(numbers)  # blocks until foo sets the result
