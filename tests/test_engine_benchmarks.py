"""The benchmarks of engines and of scale: small runs, and what the pages show of large ones.

No test here compares a time with another one: that is what the benchmarks are for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "docs" / "benchmarks"))

import pipeline
import scale

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / "docs" / "benchmarks"

SMALL = {
    "pipeline": "--tasks=3 --seconds=0.2 --megabytes=1 --fractions=0,0.5 --rounds=1",
    "scale": "--futures=100 --waiters=10 --gigabytes=0.01 --watch=0.1",
}


def run(name: str, *options: object) -> subprocess.CompletedProcess[str]:
    program = str(BENCHMARKS / f"{name}.py")
    command = [sys.executable, program, *SMALL[name].split(), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize("engine", ["process-pool", "dask"])
def test_a_short_pipeline_runs_and_no_chain_is_faster_than_the_ideal(
    engine: str, tmp_path: Path
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="needs Dask: pip install '.[engines]'")
    program = run("pipeline", "--engines", engine, "--json", tmp_path / "report.json")
    assert program.returncode == 0, program.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert pipeline.tables(report) in program.stdout
    found = {(result["name"], result["medium"]) for result in report["results"]}
    assert found >= {("without proxies", "engine"), ("futures", "manager")}
    for result in report["results"]:
        for plan, makespans in zip(pipeline.plans_of(report), result["makespans"], strict=True):
            assert all(makespan >= plan.ideal for makespan in makespans)
        assert result["makespans"][0]


def test_the_ideal_is_that_all_but_the_first_start_before_their_data_comes() -> None:
    plan = pipeline.Plan(tasks=8, seconds=1, size=10_000_000, fraction=0.5)
    assert plan.ideal == 4.5  # 8 - 7f


def test_a_chain_that_loses_data_is_noticed() -> None:
    def losing(*_: object) -> bytes:
        return bytes(16)

    contestant = pipeline.Contestant("losing", "engine", losing, None, True)
    with pytest.raises(AssertionError, match="lost"):
        pipeline.makespan(lambda *_: None, contestant, pipeline.Plan(3, 0, 16, 0))  # type: ignore[arg-type]  # not called


def test_a_small_measurement_of_scale_says_what_each_connector_costs(tmp_path: Path) -> None:
    program = run("scale", "--json", tmp_path / "report.json")
    assert program.returncode == 0, program.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert scale.tables(report) in program.stdout
    names = [result["connector"] for result in report["results"]]
    assert names[:3] == ["LocalConnector", "FileConnector", "ManagerConnector"]
    for result in report["results"]:
        assert result["futures"]["set"] > 0
        assert result["bytes"]["put"] > 0
        assert result["waiters"]["serve"] > 0


# What the pages show


@pytest.mark.parametrize("benchmark", [pipeline, scale], ids=lambda module: module.__name__)
def test_a_page_shows_the_figures_that_are_kept(benchmark: ModuleType) -> None:
    report: dict[str, Any] = json.loads(benchmark.KEPT.read_text())
    assert benchmark.TABLES.read_text() == benchmark.tables(report) + "\n"


def test_the_kept_pipeline_is_the_experiment_of_the_paper() -> None:
    report = json.loads(pipeline.KEPT.read_text())
    assert [report[name] for name in ("tasks", "seconds", "size")] == [8, 1, 10_000_000]
    assert report["fractions"] == [number / 10 for number in range(10)]
    whole = {
        (each["engine"], each["name"], each["medium"])
        for each in pipeline.pipelined(report)
        if pipeline.is_whole(each)
    }
    assert whole == {
        (engine, *way)
        for engine in ("process-pool", "dask")
        for way in [("futures", "manager"), ("futures", "Redis"), ("ProxyStore", "Redis")]
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_of_the_pipeline_has_text_that_can_be_selected(
    scheme: str, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="needs Matplotlib: pip install '.[benchmark]'")
    pipeline.draw(json.loads(pipeline.KEPT.read_text()), scheme, tmp_path / "drawn.svg")
    for picture in (
        tmp_path / "drawn.svg",
        BENCHMARKS / "pictures" / f"pipeline.{scheme}.svg",
    ):
        assert ">ideal<" in picture.read_text()
