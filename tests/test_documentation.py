"""What the documentation shows does what it says."""

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

import connectors
import proxyfuture

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", [proxyfuture, connectors], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_print_what_they_show(module: ModuleType) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_listing_in_the_readme_runs() -> None:
    [listing] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(listing, "README.md", "exec"), {})


def test_the_readme_has_one_command_for_the_main_job_and_one_for_the_tests() -> None:
    commands = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [len(command.splitlines()) for command in commands] == [1, 1]


PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("index", "walkthrough", "exercises", "teaching")),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    included = re.findall(r'--8<-- "([^:"]+)', text)
    linked = re.findall(r"\]\(([^):#]+)\)", text)
    folder = (ROOT / page).parent
    assert [name for name in included if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (folder / name).exists()] == []


def test_a_page_includes_the_part_of_an_example_that_it_speaks_of() -> None:
    text = (ROOT / "docs/walkthrough.md").read_text()
    shown = {}
    for name, first in re.findall(r'--8<-- "([^:"]+):(\d+)"', text):
        shown[name] = (ROOT / name).read_text().splitlines()[int(first) - 1]
    assert shown == {
        "docs/examples/hello.py": "from connectors import LocalConnector",
        "docs/examples/client.py": 'T = TypeVar("T")',
    }
