"""What the documentation shows does what it says."""

import ast
import doctest
import inspect
import pickle
import re
import sys
import textwrap
import time
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import hooks

import connectors
import proxyfuture
from proxyfuture import Proxy

ROOT = Path(__file__).parents[1]
LINKS = ROOT / "docs" / "links.md"
PAGES = ["README.md"] + [
    str(page.relative_to(ROOT))
    for folder in (ROOT / "docs", ROOT / "docs" / "reference")
    for page in sorted(folder.glob("*.md"))
    if page != LINKS
]


@pytest.mark.parametrize("module", [proxyfuture, connectors], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_print_what_they_show(module: ModuleType) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_listing_in_the_readme_runs() -> None:
    [listing] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(listing, "README.md", "exec"), {})
    assert listing in (ROOT / "docs/examples/hello.py").read_text()


def test_the_readme_has_one_command_for_the_main_job_and_one_for_the_tests() -> None:
    commands = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [len(command.splitlines()) for command in commands] == [1, 1]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    included = re.findall(r'--8<-- "([^:"]+)', text)
    linked = re.findall(r"\]\(([^):#]+)[^):]*\)", text)
    folder = (ROOT / page).parent
    assert [name for name in included if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (folder / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_parts_of_files_that_are_there(page: str) -> None:
    for name, part in re.findall(r'--8<-- "([^:"]+):([^"]+)"', (ROOT / page).read_text()):
        text = (ROOT / name).read_text()
        lines = text.splitlines()
        if numbers := re.fullmatch(r"(\d+)(?::(\d+))?", part):
            # It begins and ends where a paragraph does.
            first, last = int(numbers[1]), int(numbers[2] or len(lines))
            assert ["", *lines, ""][first - 1] == ["", *lines, ""][last + 1] == ""
            assert lines[first - 1] and lines[last - 1]
        elif f" --8<-- [start:{part}]" not in text:
            assert hooks.source_of(ROOT / name, part)


def test_a_page_shows_the_part_of_an_example_that_it_speaks_of() -> None:
    text = (ROOT / "docs/walkthrough.md").read_text()
    shown = {}
    for name, first in re.findall(r'--8<-- "([^:"]+):(\d+)"', text):
        shown[name] = (ROOT / name).read_text().splitlines()[int(first) - 1]
    assert shown == {
        "docs/examples/hello.py": "from connectors import LocalConnector",
        "docs/examples/what_travels.py": (
            'with tempfile.TemporaryDirectory() as scratch, Store("demo", FileConnector(scratch)) '
            "as store:"
        ),
    }


@pytest.mark.parametrize("name", ["ProxyFuture._set", "Proxy.__getattr__", "_resolved"])
def test_a_page_shows_the_source_of_a_function_as_python_finds_it(name: str) -> None:
    function = attrgetter(name)(proxyfuture)
    expected = textwrap.dedent(inspect.getsource(function)).rstrip()
    assert hooks.source_of(ROOT / "proxyfuture.py", name, with_docstring=True) == expected
    shown = hooks.source_of(ROOT / "proxyfuture.py", name)
    docstring = ast.get_docstring(ast.parse(expected).body[0])  # type: ignore[arg-type]  # a def
    assert shown == expected.replace(f'    """{docstring}"""\n', "")


def test_a_note_appears_at_the_line_that_it_names() -> None:
    page = "```python\none()\ntwo(1)\n```\n\n<!-- notes -->\n1.  `two(`: Two.\n2.  `one`: One.\n"
    listing = hooks.with_notes(page).split("\n\n")[0]
    assert listing == "```python\none()  # (2)!\ntwo(1)  # (1)!\n```"
    with pytest.raises(ValueError):  # which ends the build
        hooks.with_notes(page.replace("`one`", "`three`"))
    with pytest.raises(ValueError, match="taken for the mark of a note"):
        hooks.with_notes(page.replace("one()", "one()  # as open(2) does"))


def test_every_link_to_another_host_is_written_once_and_used() -> None:
    definitions = re.findall(r"^\[(.+)\]: (https://\S+)$", LINKS.read_text(), re.MULTILINE)
    assert len(definitions) == len(LINKS.read_text().splitlines())
    assert len({url for _, url in definitions}) == len(definitions)
    pages = {page: (ROOT / page).read_text() for page in PAGES}
    assert [page for page, text in pages.items() if re.search(r"https?://", text)] == []
    # The names of classes are also for the reference, which finds them in the two modules.
    everything = "".join(pages.values()) + "".join(
        Path(module.__file__ or "").read_text() for module in (proxyfuture, connectors)
    )
    for name, _ in definitions:
        assert f"[{name}]" in everything or name.rpartition(".")[2] in everything


# When the consumer blocks, and when it does not

WALKTHROUGH = (ROOT / "docs/walkthrough.md").read_text()
ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \|$", WALKTHROUGH, re.MULTILINE)


def waits_for_the_value(line: str) -> bool:
    """Runs a line of the table on proxies that have no value, and tells whether it asked for it."""

    class Blocked(BaseException):
        """In place of waiting."""

    def factory() -> int:
        raise Blocked

    names = {name: getattr(proxyfuture, name) for name in proxyfuture.__all__}
    names |= {"pickle": pickle, "proxy": Proxy(factory), "typed_proxy": Proxy(factory, int)}
    if "pickle" in line:  # a local function cannot be pickled
        names["proxy"] = Proxy(time.time)
    try:
        exec(line, names)
    except Blocked:
        return True
    return False


def test_the_walkthrough_has_lines_that_wait_and_lines_that_do_not() -> None:
    assert len(ROWS) == 8


@pytest.mark.parametrize("line", [waits for waits, _ in ROWS])
def test_a_line_waits_for_the_value_as_the_walkthrough_says(line: str) -> None:
    assert waits_for_the_value(line)


@pytest.mark.parametrize("line", [does_not for _, does_not in ROWS])
def test_a_line_does_not_wait_for_the_value_as_the_walkthrough_says(line: str) -> None:
    assert not waits_for_the_value(line)
