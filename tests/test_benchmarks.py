"""The benchmark runs, finds sane ratios, and is what the Performance page shows.

No test asserts a time: they depend on the machine, and on what else it does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

BENCHMARKS = ROOT / "docs" / "benchmarks"
PAGE = (ROOT / "docs" / "performance.md").read_text()

# In seconds: a quick run takes long on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# What the page shows, as the last full run left it.
PUBLISHED = json.loads((BENCHMARKS / "results.json").read_text())
TABLES = {table["name"]: table for table in PUBLISHED["tables"]}

# A ratio of a quick run on a busy machine may be so many times the published one, or the goal. If
# it is more, the machine had no time for one of the two, or somebody waits who should be woken.
TOLERANCE = 10
ATTEMPTS = 3


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a reduced run writes as JSON."""
    file = tmp_path_factory.mktemp("benchmark") / "results.json"
    run("--quick", "--json", str(file))
    return json.loads(file.read_text())


def test_a_quick_run_measures_every_table(quick_run: Any) -> None:
    assert [table["name"] for table in quick_run["tables"]] == list(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_what_is_not_measured_is_named_with_the_reason(quick_run: Any, name: str) -> None:
    [table] = [table for table in quick_run["tables"] if table["name"] == name]
    took_part = {*table["medians"], *table["missing"]}
    assert {*TABLES[name]["medians"], *TABLES[name]["missing"]} <= took_part
    assert all(table["missing"].values())
    for contestant in table["medians"].values():
        assert all(figure >= 0 for figure in contestant.values())


@pytest.mark.parametrize("name", TABLES)
def test_the_ratios_are_sane(quick_run: Any, name: str, tmp_path: Path) -> None:
    [table] = [table for table in quick_run["tables"] if table["name"] == name]
    for _ in range(ATTEMPTS):
        complaints = too_large(table)
        if not complaints:
            return
        run("--quick", "--only", name, "--json", str(tmp_path / "again.json"))
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


def test_a_peer_that_is_not_installed_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    (tmp_path / "proxystore.py").write_text("raise ImportError")
    output = run("--quick", "--only", "one_future", PYTHONPATH=str(tmp_path)).stdout
    assert "ProxyStore, local (proxystore is not installed)" in output
    assert "| proxyfuture, local " in output


def test_a_run_of_one_table_leaves_the_page_as_it_is() -> None:
    files = [BENCHMARKS / "results.json", BENCHMARKS / "figures.md"]
    before = [file.read_bytes() for file in files]
    run("--quick", "--only", "proxy_creation")
    assert [file.read_bytes() for file in files] == before


# The page


def test_the_figures_on_the_page_are_those_of_the_last_full_run() -> None:
    program = "import json, run; print(run.figures(json.loads(run.RESULTS.read_text())), end='')"
    command = [sys.executable, "-c", program]
    figures = subprocess.check_output(command, cwd=BENCHMARKS, encoding="utf-8")
    assert (BENCHMARKS / "figures.md").read_text() == figures


@pytest.mark.parametrize("name", ["machine", *TABLES])
def test_the_page_includes_every_table(name: str) -> None:
    assert f'--8<-- "docs/benchmarks/figures.md:{name}"' in PAGE


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TABLES)
def test_a_picture_has_a_line_for_each_contestant(name: str, scheme: str) -> None:
    picture = (BENCHMARKS / "pictures" / f"{name}.{scheme}.svg").read_text()
    for contestant in TABLES[name]["medians"]:
        assert f">{contestant}</text>" in picture
