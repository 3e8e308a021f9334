"""The benchmarks of engines and of scale: small runs, and what the pages show of large ones.

No test here compares a time with another one: that is what the benchmarks are for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import ROOT, run

sys.path.insert(0, str(ROOT / "docs" / "benchmarks"))

import pipeline
import scale

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / "docs" / "benchmarks"


def report_of(benchmark: ModuleType, file: Path, *options: str) -> Any:
    """Runs a benchmark, which prints the tables of its report, and returns that."""
    program = BENCHMARKS / f"{benchmark.__name__}.py"
    done = run(program, *options, "--json", file)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert benchmark.tables(report) in done.stdout
    return report


@pytest.mark.parametrize("engine", ["process-pool", "dask"])
def test_a_short_pipeline_runs_and_no_chain_is_faster_than_the_ideal(
    engine: str, tmp_path: Path
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="needs Dask: pip install '.[engines]'")
    small = "--tasks=2", "--seconds=0.1", "--megabytes=1", "--fractions=0.5", "--rounds=1"
    report = report_of(pipeline, tmp_path / "report.json", *small, "--engines", engine)
    found = {(result["name"], result["medium"]) for result in report["results"]}
    assert found >= {("without proxies", "engine"), ("futures", "manager")}
    for result in report["results"]:
        for plan, makespans in zip(pipeline.plans_of(report), result["makespans"], strict=True):
            assert all(makespan >= plan.ideal for makespan in makespans)


def test_the_ideal_is_that_all_but_the_first_start_before_their_data_comes() -> None:
    plan = pipeline.Plan(tasks=8, seconds=1, size=10_000_000, fraction=0.5)
    assert plan.ideal == 4.5  # 8 - 7f


def test_a_small_measurement_of_scale_says_what_each_connector_costs(tmp_path: Path) -> None:
    small = "--futures=100", "--waiters=10", "--gigabytes=0.01", "--watch=0.1"
    report = report_of(scale, tmp_path / "report.json", *small)
    names = [result["connector"] for result in report["results"]]
    assert names[:3] == ["LocalConnector", "FileConnector", "ManagerConnector"]
    for result in report["results"]:
        assert result["futures"]["set"] > 0
        assert result["bytes"]["put"] > 0
        assert result["waiters"]["serve"] > 0


# What the pages show


@pytest.mark.parametrize("benchmark", [pipeline, scale], ids=lambda module: module.__name__)
def test_a_page_shows_the_figures_that_are_kept(benchmark: ModuleType) -> None:
    report = json.loads(benchmark.KEPT.read_text())
    assert benchmark.TABLES.read_text() == benchmark.tables(report) + "\n"


def test_the_kept_pipeline_is_the_experiment_of_the_paper() -> None:
    report = json.loads(pipeline.KEPT.read_text())
    assert [report[name] for name in ("tasks", "seconds", "size")] == [8, 1, 10_000_000]
    assert report["fractions"] == [number / 10 for number in range(10)]
