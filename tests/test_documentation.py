"""What the documentation shows does what it says."""

from __future__ import annotations

import ast
import doctest
import inspect
import pickle
import re
import shutil
import sys
import textwrap
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest
from support import EXAMPLES, ROOT, run

sys.path.insert(0, str(ROOT / "docs"))

import hooks

import connectors
import proxyfuture
from proxyfuture import Proxy

DOCS = ROOT / "docs"
LINKS = DOCS / "links.md"
FILES = [ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("reference/*.md")]
PAGES = {str(file.relative_to(ROOT)): file.read_text() for file in sorted(FILES) if file != LINKS}
MODULES = [proxyfuture, connectors]

each_page = pytest.mark.parametrize("page", PAGES)


def listings(page: str, language: str = "python") -> list[str]:
    """Returns the listings that a page does not take from a file."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)
    return [listing for listing in found if "--8<--" not in listing]


# Programs


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_print_what_they_show(module: ModuleType) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_listing_in_the_readme_runs() -> None:
    [listing] = listings("README.md")
    exec(compile(listing, "README.md", "exec"), {})


def test_the_readme_has_one_command_for_the_main_job_and_one_for_the_tests() -> None:
    assert [len(command.splitlines()) for command in listings("README.md", "sh")] == [1, 1]


def test_a_value_outlives_its_program_as_the_page_shows(tmp_path: Path) -> None:
    shown = (EXAMPLES / "leave_and_find.txt").read_text()
    programs = re.findall(r"^\$ python3 (.*)\n((?:[^$].*\n)*)", shown, re.M)
    assert len(programs) == 2
    for command, output in programs:
        program = run(ROOT / command, cwd=tmp_path)
        assert (program.stdout, program.stderr) == (output, "")


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_value_in_a_new_directory_outlives_its_program_only_without_a_close(
    is_closed: bool, tmp_path: Path
) -> None:
    text = re.sub(r"os\.makedirs\(.*", "", (EXAMPLES / "leave_value.py").read_text())
    if not is_closed:
        text = text.replace("with Store(", "if store := Store(").replace(" as store:", ":")
    (tmp_path / "leave_value.py").write_text(text)
    assert not run("leave_value.py", cwd=tmp_path, PYTHONPATH=str(ROOT)).stderr
    program = run(EXAMPLES / "find_value.py", cwd=tmp_path)
    assert ("ProxyResolveError" in program.stderr) == is_closed
    assert ("Rain" in program.stdout) == (not is_closed)


def test_the_page_shows_what_a_program_that_stands_still_logs() -> None:
    [shown] = re.findall(r"^Still waiting .*$", PAGES["docs/patterns.md"], re.M)
    tree = ast.parse((ROOT / "proxyfuture.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    [logged] = [text for text in texts if str(text).startswith("Still waiting")]
    assert re.fullmatch(re.sub(r"%[sr]|%\\\.0f", ".+", re.escape(str(logged))), shown)


# What a page shows of files


@each_page
def test_every_file_that_a_page_names_is_there_with_the_part_that_it_shows(page: str) -> None:
    for name in re.findall(r"\]\(([^):#]+)[^):]*\)", PAGES[page]):
        offered = name in (*hooks.DOWNLOADS, "proxyfuture.zip")  # by the built pages
        assert offered or (ROOT / page).parent.joinpath(name).exists()
    for name, part in re.findall(r'--8<-- "([^:"]+):?([^"]*)"', PAGES[page]):
        text = (ROOT / name).read_text()
        if part.isdecimal():
            # It begins where a paragraph does.
            before, first = text.splitlines()[int(part) - 2 : int(part)]
            assert not before and first
        elif part and f" --8<-- [start:{part}]" not in text:
            assert hooks.source_of(ROOT / name, part)


@pytest.mark.slow
def test_what_is_copied_from_the_walkthrough_runs_beside_the_two_modules(tmp_path: Path) -> None:
    page = PAGES["docs/walkthrough.md"]
    shown = re.findall(r'```python title="docs/examples/(\w+\.py)"\n--8<-- "(.+):(\d+)"\n```', page)
    assert len(shown) == page.count("```python") - page.count(' part"')
    for module in MODULES:
        shutil.copy(str(module.__file__), tmp_path)
    run(EXAMPLES / "new_future.py", "future.pickle", "file", "values", cwd=tmp_path)
    for name, file, first in reversed(shown):  # the last one produces what the one before consumes
        lines = (ROOT / file).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[int(first) - 1 :]))
        program = run(name, "future.pickle", cwd=tmp_path, typed="A text\n")
        assert (program.stderr, program.returncode) == ("", 0), name


def test_the_page_shows_all_of_the_connector_for_sqlite_in_its_order() -> None:
    shown = re.findall(
        r'sqlite_connector\.py:SqliteConnector\.(\w+)"', PAGES["docs/write_your_own.md"]
    )
    source = hooks.source_of(EXAMPLES / "sqlite_connector.py", "SqliteConnector")
    assert source is not None
    [body] = [node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert shown == [name for node in body for name in hooks.names_of(node)]


def test_the_names_that_the_tour_speaks_of_are_those_of_the_source() -> None:
    files = "proxyfuture.py", "connectors.py", "docs/examples/in_one_page.py"
    source = "".join((ROOT / file).read_text() for file in files)
    named = re.findall(r"`(_[A-Za-z]\w+)`", PAGES["docs/how_it_works.md"])
    assert [name for name in named if not re.search(rf"\b{name}\b", source)] == []


@pytest.mark.parametrize("name", ["ProxyFuture.result", "Proxy.__getattr__", "extract"])
def test_a_page_shows_the_source_of_a_function_as_python_finds_it(name: str) -> None:
    function = attrgetter(name)(proxyfuture)
    expected = textwrap.dedent(inspect.getsource(function)).rstrip()
    assert hooks.source_of(ROOT / "proxyfuture.py", name, with_docstring=True) == expected
    shown = hooks.source_of(ROOT / "proxyfuture.py", name)
    docstring = re.search(r'^ +""".*?"""\n+', expected, re.DOTALL | re.MULTILINE)
    assert shown == expected.replace(docstring[0] if docstring else "", "")


def test_a_page_shows_what_is_assigned_to_a_name(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text("class C:\n    a, b = (\n        1,\n        c,\n    )\n    d: int = 2\n")
    assert hooks.source_of(file, "C.b") == "a, b = (\n    1,\n    c,\n)"
    assert hooks.source_of(file, "C.d") == "d: int = 2"
    assert hooks.source_of(file, "C.c") is None


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
    assert [page for page, text in PAGES.items() if re.search(r"https?://", text)] == []
    # The names of classes are also for the reference, which finds them in the two modules.
    everything = "".join(PAGES.values()) + "".join(map(inspect.getsource, MODULES))
    for name, _ in definitions:
        assert f"[{name}]" in everything or name.rpartition(".")[2] in everything


# When the consumer blocks, and when it does not

ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGES["docs/walkthrough.md"], re.MULTILINE)
assert len(ROWS) == 8


class Blocked(BaseException):
    """In place of waiting."""


def factory() -> int:
    raise Blocked


def waits_for_the_value(line: str) -> bool:
    """Runs a line of the table on proxies that have no value, and tells whether it asked for it."""
    proxies = {"proxy": Proxy(factory), "typed_proxy": Proxy(factory, int)}
    try:
        exec(line, {**vars(proxyfuture), "pickle": pickle, **proxies})
    except Blocked:
        return True
    return False


@pytest.mark.parametrize("row", ROWS, ids=" | ".join)
def test_lines_wait_for_the_value_or_not_as_the_walkthrough_says(row: tuple[str, str]) -> None:
    assert [waits_for_the_value(line) for line in row] == [True, False]
