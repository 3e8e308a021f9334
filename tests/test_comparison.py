"""The comparison with today's peers says what its programs say."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "docs" / "benchmarks"))

import compare_features
from compare_features import COMPARISONS, OWN

RECORD: dict[str, dict[str, Any]] = json.loads(compare_features.RECORD.read_text())

pytestmark = [pytest.mark.slow, pytest.mark.timeout(compare_features.LIMIT + 60)]

CELLS = [
    pytest.param(name, peer, question, id=f"{name}-{peer}-{question}")
    for name, comparison in COMPARISONS.items()
    for peer in comparison.peers
    for question in comparison.questions
]


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_page_shows_the_answers_and_the_lines_that_ask(name: str) -> None:
    shown = compare_features.shown(COMPARISONS[name], RECORD[name])
    assert compare_features.page(name).read_text() == shown


@pytest.mark.parametrize(("name", "peer", "question"), CELLS)
def test_an_answer_is_what_its_program_says(name: str, peer: str, question: str) -> None:
    comparison = COMPARISONS[name]
    version, answers = RECORD[name][peer]
    if peer != OWN and version != compare_features.installed_version(comparison, peer):
        pytest.skip(f"{peer} {version} is not installed")
    assert compare_features.ask(comparison, peer, question) == answers[question]
