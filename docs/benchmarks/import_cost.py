"""What does the import cost, in a fresh interpreter?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from measuring import Bench, Goal, Sample, Table, peer

PROGRAM = """
import json, resource, sys, time

for hidden in {hidden}:
    sys.modules[hidden] = None  # as if it were not installed

def memory():  # now, if the system tells, or else at most so far
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before, start = memory(), time.perf_counter()
import {modules}
end = time.perf_counter()
print(json.dumps({{"time": end - start, "memory": memory() - before}}))
"""

PROXYSTORE = "proxystore.store, proxystore.connectors.file"


def importing(
    modules: str, *, needed: tuple[str, ...] = (), hidden: tuple[str, ...] = ()
) -> Callable[[Bench], Sample]:
    def prepared(bench: Bench) -> Sample:
        for module in needed:
            peer(module)
        program = PROGRAM.format(modules=modules, hidden=hidden)
        # Compiled modules may be kept, as they are where somebody works.
        environment = {
            **{name: value for name, value in os.environ.items() if "BYTECODE" not in name},
            "PYTHONPATH": os.pathsep.join(sys.path),
        }

        def sample() -> dict[str, float]:
            output = subprocess.check_output([sys.executable, "-c", program], env=environment)
            figures: dict[str, float] = json.loads(output)
            return figures

        return sample

    return prepared


TABLE = Table(
    name="import_cost",
    title="Importing",
    compared=(
        "The import in a fresh interpreter, beyond the interpreter itself: seconds, and resident "
        "memory. ProxyStore imports NumPy where it is installed, which is hidden from it once."
    ),
    cases={"time": "seconds", "memory": "bytes"},
    contestants={
        "proxyfuture": importing("proxyfuture"),
        "ProxyStore": importing(
            PROXYSTORE, needed=("proxystore",), hidden=("numpy", "pandas", "polars")
        ),
        "ProxyStore, with NumPy": importing(PROXYSTORE, needed=("proxystore", "numpy")),
    },
    baseline="ProxyStore",
    goals=(Goal("proxyfuture", 0.5, times="ProxyStore"),),
    rounds=25,
)
