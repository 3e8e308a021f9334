"""The benchmark: what the system exists for, next to what people would use instead.

    python docs/benchmarks/run.py                     everything, for the Performance page
    python docs/benchmarks/run.py --quick             does it run? In half a minute
    python docs/benchmarks/run.py --only one_future   one table

Peers are optional: what is installed is measured (`pip install '.[benchmark]'`, and a
`redis-server`), and what is not is named. A run of everything also renews what the page shows;
see `RESULTS`, `FIGURES` and `PICTURES`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the modules
sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))  # a Redis connector

import growth
import import_cost
import one_future
import proxy_creation
import proxy_operations
import put_and_get
import report
import wake_up_of_processes
import wake_up_of_threads
from charts import draw
from measuring import Missing, measure

TABLES = [
    wake_up_of_threads.TABLE,
    wake_up_of_processes.AFTER_A_SHORT_WAIT,
    wake_up_of_processes.AFTER_A_LONG_WAIT,
    one_future.TABLE,
    put_and_get.BYTES,
    put_and_get.ARRAY,
    proxy_operations.TABLE,
    proxy_creation.TABLE,
    import_cost.TABLE,
    growth.AMONG_KEYS,
    growth.AMONG_WAITERS,
]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
FIGURES = HERE / "figures.md"
PICTURES = HERE / "pictures"


def main() -> None:
    names = [table.name for table in TABLES]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, small values")
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="TABLE",
        help=f"measure it alone; repeatable: {', '.join(names)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw the pictures there")
    parser.add_argument("--redraw", action="store_true", help="renew the page without measuring")
    arguments = parser.parse_args()

    if arguments.redraw:
        return renew_page(json.loads(RESULTS.read_text()))
    results = []
    for table in TABLES:
        if not arguments.only or table.name in arguments.only:
            result = measure(table, quick=arguments.quick)
            results.append(result)
            [words] = map(report.in_words, report.as_json([result])["tables"])
            print(f"\n{table.title} ({table.name})\n\n{words}", flush=True)
    measured = report.as_json(results)
    print(f"\n{report.machine_in_words(measured)}")
    if arguments.json:
        write_json(measured, arguments.json)
    if arguments.pictures:
        draw_pictures(measured, arguments.pictures)
    if not arguments.quick and not arguments.only:
        write_json(measured, RESULTS)
        renew_page(measured)


def renew_page(measured: report.Report) -> None:
    FIGURES.write_text(figures(measured))
    draw_pictures(measured, PICTURES)


def write_json(measured: report.Report, path: Path) -> None:
    path.write_text(json.dumps(measured, indent=1) + "\n")


def draw_pictures(measured: report.Report, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    try:
        draw(measured, directory)
    except Missing as reason:
        print(f"No pictures: {reason}.", file=sys.stderr)


def figures(measured: report.Report) -> str:
    """Returns what the page includes: sentences with figures, and a section for each table."""
    sections = {
        "verdict": report.verdict(measured),
        "machine": report.machine_in_words(measured),
        "quicker_in_c": report.quicker_in_c(measured),
    }
    for table in measured["tables"]:
        picture = (
            f"![{table['title']}, as bars. The table below has the figures.]"
            f"(benchmarks/{PICTURES.name}/{table['name']}.svg)"
        )
        sections[table["name"]] = report.in_words(table, picture)
    return "\n".join(
        f"<!-- --8<-- [start:{name}] -->\n{text}\n<!-- --8<-- [end:{name}] -->\n"
        for name, text in sections.items()
    )


if __name__ == "__main__":
    main()
