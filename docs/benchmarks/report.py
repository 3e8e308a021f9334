"""What becomes of the medians: JSON, and from it the tables for the terminal and the page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from measuring import Goal, Result

PEERS = "proxystore", "redis", "lazy-object-proxy", "wrapt", "werkzeug", "numpy"

# What `as_json` returns, and one of its tables.
Report = dict[str, Any]
TableReport = dict[str, Any]


def as_json(results: Iterable[Result]) -> Report:
    """Returns everything that is shown, as it is kept in a file."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "system": f"{platform.system()} on {platform.machine()}",
            "python": f"{platform.python_implementation()} {platform.python_version()}",
        },
        "versions": {name: found for name in PEERS if (found := _version(name))},
        "tables": [_table_as_json(result) for result in results],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _table_as_json(result: Result) -> TableReport:
    table = result.table
    report: TableReport = {
        "name": table.name,
        "title": table.title,
        "compared": table.compared,
        "baseline": table.baseline,
        "cases": table.cases,
        "rounds": result.rounds,
        "medians": result.medians,
        "missing": result.missing,
    }
    report["goals"] = [_goal_as_json(goal, report) for goal in table.goals]
    return report


def _goal_as_json(goal: Goal, table: TableReport) -> dict[str, Any]:
    measured = {}
    for case in goal.cases or table["cases"]:
        reached = ratio(table, case, goal.contestant, goal.times)
        if reached is not None:
            measured[case] = reached
    return {
        "contestant": goal.contestant,
        "at_most": goal.at_most,
        "times": goal.times,
        "measured": measured,
    }


def ratio(table: TableReport, case: str, contestant: str, times: str) -> float | None:
    """Returns a median as a multiple of another contestant's, or itself if there is no other."""
    figure = table["medians"].get(contestant, {}).get(case)
    other = table["medians"].get(times, {}).get(case) if times else 1
    return figure / other if figure is not None and other else None


def multiple(table: TableReport, case: str, contestant: str) -> float | None:
    """Returns a median as a multiple of the baseline's; a share of a core is shown as it is."""
    if table["cases"][case] == "share":
        return None
    return ratio(table, case, contestant, table["baseline"])


# As text, in Markdown that is legible as it stands


def in_words(table: TableReport, picture: str = "") -> str:
    """Returns what a table says: what is compared, the figures, and which goals are met."""
    head = [f"median of {table['rounds']}", *table["cases"]]
    figures = [
        [contestant, *(cell(table, case, contestant) for case in table["cases"])]
        for contestant in table["medians"]
    ]
    goals = [_goal_row(table, goal) for goal in table["goals"]]
    missing = "; ".join(f"{name} ({reason})" for name, reason in table["missing"].items())
    paragraphs = [
        f"{table['compared']} In brackets: as a multiple of {table['baseline']}.",
        picture,
        _aligned([head, *figures]),
        _aligned([["goal", "reached", ""], *goals]),
        f"Not measured: {missing}." if missing else "",
    ]
    return "\n\n".join(filter(None, paragraphs))


def verdict(report: Report) -> str:
    """Returns the three sentences for a reader in a hurry, with the figures of a full run."""
    tables = {table["name"]: table for table in report["tables"]}

    def times(table: str, case: str, contestant: str, other: str) -> str:
        found = ratio(tables[table], case, contestant, other)
        return "(not measured)" if found is None else f"{rounded(found)} times"

    manager, redis = "proxyfuture, manager", "ProxyStore, Redis"
    woken, operations = tables["wake_up_of_processes"], tables["proxy_operations"]
    took = in_unit(woken["medians"][manager]["wake-up"], "seconds")
    against = [ratio(operations, case, "proxyfuture", "ProxyStore") for case in operations["cases"]]
    ratios = [rounded(each) for each in (min(filter(None, against)), max(filter(None, against)))]
    return (
        f"- A consumer in another process goes on {took} after `set_result`: "
        f"{times(woken['name'], 'wake-up', manager, woken['baseline'])} as long as through a pipe, "
        f"and {times(woken['name'], 'wake-up', manager, redis)} as long as with ProxyStore and "
        f"Redis.\n"
        f"- An operation on a proxy takes {' to '.join(ratios)} times as long as on ProxyStore's, "
        f"and 100 MB through the manager "
        f"{times('put_and_get_bytes', '100 MB', manager, redis)} as long as through its Redis "
        f"connector.\n"
        f"- Peers are ahead elsewhere: waking a thread takes "
        f"{times('wake_up_of_threads', 'wake-up', 'proxyfuture, local', 'concurrent.futures')} as "
        f"long as with `concurrent.futures`, making a proxy "
        f"{times('proxy_creation', 'time', 'proxyfuture', 'wrapt (C)')} as long as with wrapt, "
        f"which is written in C."
    )


def quicker_in_c(report: Report) -> str:
    """Returns which operations each proxy that is written in C performs in less time."""
    table = next(each for each in report["tables"] if each["name"] == "proxy_operations")
    sentences = []
    for name in table["medians"]:
        won = [
            case
            for case in table["cases"]
            if name.endswith("(C)") and (ratio(table, case, name, "proxyfuture") or 1) < 1
        ]
        if won:
            sentences.append(f"{name} is quicker at {', '.join(won)}.")
    return " ".join(sentences)


def machine_in_words(report: Report) -> str:
    machine, versions = report["machine"], report["versions"]
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{machine['cores']} cores, {machine['system']}, {machine['python']}; "
        f"{packages or 'none of the peers is installed'}."
    )


def cell(table: TableReport, case: str, contestant: str) -> str:
    figure = table["medians"][contestant].get(case)
    if figure is None:
        return ""
    text = in_unit(figure, table["cases"][case])
    times = multiple(table, case, contestant)
    return text if times is None else f"{text} ({rounded(times)})"


def _goal_row(table: TableReport, goal: dict[str, Any]) -> list[str]:
    limit, measured = goal["at_most"], goal["measured"]
    if goal["times"]:
        text = f"at most {round(limit, 2):g} times {goal['times']}"
        reached = {case: rounded(figure) for case, figure in measured.items()}
    else:
        unit = table["cases"][next(iter(measured))] if measured else "seconds"
        text = f"at most {in_unit(limit, unit)}"
        reached = {case: in_unit(figure, unit) for case, figure in measured.items()}
    missed = [case for case, figure in measured.items() if figure > limit]
    if not measured:
        verdict = "not measured"
    elif not missed:
        verdict = "met"
    else:
        verdict = (
            "**missed**" if len(missed) == len(measured) else f"**missed**: {', '.join(missed)}"
        )
    shown = ", ".join(
        figure if len(table["cases"]) == 1 else f"{case} {figure}"
        for case, figure in reached.items()
    )
    return [f"{goal['contestant']}: {text}", shown, verdict]


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([head, rule, *body])


_STEPS: dict[str, list[tuple[float, str]]] = {
    "seconds": [(1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
    "bytes": [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")],
    "share": [(1e-2, "%")],
}


def in_unit(figure: float, unit: str) -> str:
    """Writes a figure with two or three digits: 0.00123 seconds are 1.23 ms."""
    steps = _STEPS[unit]
    step, name = next((each for each in steps if figure >= each[0]), steps[-1])
    return f"{rounded(figure / step)} {name}"


def rounded(figure: float) -> str:
    """Writes a number with three digits, and never as a power of ten."""
    digits = 0 if figure >= 100 or figure == round(figure) else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}"
