"""The benchmark runs, finds sane ratios, and is what the Performance page shows.

No test asserts a time: they depend on the machine, and on what else it does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, run

BENCHMARKS = ROOT / "docs" / "benchmarks"

# In seconds: a quick run takes long on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# What the page shows, as the last full run left it.
PUBLISHED = json.loads((BENCHMARKS / "results.json").read_text())
TABLES = {table["name"]: table for table in PUBLISHED["tables"]}

# A ratio of a quick run on a busy machine may be so many times the published one, or the goal. If
# it is more, the machine had no time for one of the two, or somebody waits who should be woken.
TOLERANCE = 10
ATTEMPTS = 3

each_table = pytest.mark.parametrize("name", TABLES)


def quick_run(*arguments: object, path: str = "") -> str:
    done = run(BENCHMARKS / "run.py", "--quick", *arguments, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of a reduced run."""
    file = tmp_path_factory.mktemp("benchmark") / "results.json"
    quick_run("--json", file)
    return {table["name"]: table for table in json.loads(file.read_text())["tables"]}


@each_table
def test_what_is_not_measured_is_named_with_the_reason(measured: dict[str, Any], name: str) -> None:
    table, published = measured[name], TABLES[name]
    assert {*published["medians"], *published["missing"]} <= {*table["medians"], *table["missing"]}
    assert all(table["missing"].values())


@each_table
def test_the_ratios_are_sane(measured: dict[str, Any], name: str, tmp_path: Path) -> None:
    table = measured[name]
    for _ in range(ATTEMPTS):
        complaints = too_large(table)
        if not complaints:
            return
        quick_run("--only", name, "--json", tmp_path / "again.json")
        [table] = json.loads((tmp_path / "again.json").read_text())["tables"]
    pytest.fail("\n".join(complaints))


def too_large(table: Any) -> list[str]:
    """Returns a line for each ratio that is far from its goal, and from what the page shows."""
    found = []
    for goal, published in zip(table["goals"], TABLES[table["name"]]["goals"], strict=True):
        for case, ratio in goal["measured"].items() if goal["times"] else ():
            limit = max(goal["at_most"], published["measured"].get(case, 0))
            if ratio > TOLERANCE * limit:
                found.append(f"{goal['contestant']}, {case}: {ratio:.2f} times {goal['times']}")
    return found


def test_a_run_of_one_table_without_a_peer_names_it_and_leaves_the_page(tmp_path: Path) -> None:
    files = [BENCHMARKS / "results.json", BENCHMARKS / "figures.md"]
    before = [file.read_bytes() for file in files]
    (tmp_path / "proxystore.py").write_text("raise ImportError")
    output = quick_run("--only", "one_future", path=str(tmp_path))
    assert "ProxyStore, local (proxystore is not installed)" in output
    assert "| proxyfuture, local " in output
    assert [file.read_bytes() for file in files] == before


# The page


def test_the_figures_on_the_page_are_those_of_the_last_full_run() -> None:
    program = "import json, run; print(run.figures(json.loads(run.RESULTS.read_text())), end='')"
    figures = run("-c", program, cwd=BENCHMARKS).stdout
    assert (BENCHMARKS / "figures.md").read_text() == figures


@each_table
def test_the_page_includes_every_table_and_its_pictures_have_every_contestant(name: str) -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    assert f'--8<-- "docs/benchmarks/figures.md:{name}"' in page
    picture = (BENCHMARKS / "pictures" / f"{name}.svg").read_text()
    for contestant in TABLES[name]["medians"]:
        assert f">{contestant}</text>" in picture
