"""What the pages need beyond the plugins of MkDocs, which calls these functions by their names."""

from __future__ import annotations

import ast
import io
import itertools
import os
import re
import subprocess
import textwrap
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

DOCS = Path(__file__).parent
ROOT = DOCS.parent
DOWNLOADS = "proxyfuture.py", "connectors.py", "LICENSE"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def on_env(env: Any, config: Any, files: Any) -> None:
    """Makes the names in links.md known to the reference, such as those of Python's own classes."""
    for name, url in re.findall(r"^\[([\w.]+)\]: (\S+)", (DOCS / "links.md").read_text(), re.M):
        config.plugins["autorefs"].register_url(name, url)


def on_config(config: Any) -> Any:
    """Without an address of the project, no page has a pencil that leads nowhere."""
    if not config.repo_url:
        config.edit_uri = None
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds what the pages offer: the two modules, the licence, and all of the project."""
    from mkdocs.structure.files import File, InclusionLevel  # the tests read this file without

    offered = {name: (ROOT / name).read_bytes() for name in DOWNLOADS}
    offered["proxyfuture.zip"] = zipped()
    for name, content in offered.items():
        file = File.generated(config, name, content=content, inclusion=InclusionLevel.INCLUDED)
        files.append(file)
    return files


def zipped() -> bytes:
    """Returns what is committed of the project or, where it was unzipped itself, all its files."""
    if (ROOT / ".git").exists():
        archive = ["git", "archive", "--format=zip", "--prefix=proxyfuture/", "HEAD"]
        return subprocess.run(archive, cwd=ROOT, capture_output=True, check=True).stdout
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as whole:
        for file in sorted(ROOT.rglob("*")):
            parts = file.relative_to(ROOT).parts
            names = [*parts, "/".join(parts)]
            if not any(fnmatch(name, pattern) for name in names for pattern in ignored):
                whole.write(file, Path("proxyfuture", *parts))
    return content.getvalue()


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    if page.file.src_uri.startswith("exercises/"):
        markdown = as_exercise_page(markdown, page.file.src_uri)
    markdown = re.sub(
        r"^<!-- mistakes of (\w+) -->$", lambda name: mistakes_of(name[1]), markdown, flags=re.M
    )
    clone = f"```sh\ngit clone {config.repo_url}\n```" if config.repo_url else ""
    markdown = markdown.replace("<!-- clone -->", clone)
    return with_notes(with_sources(markdown))


def as_exercise_page(markdown: str, name: str) -> str:
    """Makes a page of an exercise's README: its starter below, and its hints formatted."""
    doors = (
        "[exercise.py](exercise.py){ download='exercise.py' } is this listing. The tests come with "
        "[the whole project](../../proxyfuture.zip). [All exercises](../../exercises.md#the-track)"
    )
    starter = f'```python title="exercise.py"\n--8<-- "docs/{Path(name).parent}/exercise.py"\n```'
    markdown = markdown.replace("<details>", "<details markdown>")
    return f"{markdown}\n## The starter\n\n{starter}\n\n{doors}\n"


def mistakes_of(exercise: str) -> str:
    """Lists the mistakes that are kept beside the solution of an exercise, folded."""
    page = DOCS / "exercises" / "solutions" / exercise / "wrong_answers.md"
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^## \w+\n\n(.+)\n\nAsk: (.+)$", text, flags=re.M)
    listed = "\n".join(f"    - {mistake} *{question}*" for mistake, question in found)
    return f'??? question "Mistakes, and what to ask"\n\n{listed}'


def with_sources(markdown: str) -> str:
    """Puts the source of what has a name where a page asks for it: `--8<-- "file.py:name"`.

    What is no such name is left to the extension of the same notation, which knows lines.
    """

    def source(named: re.Match[str]) -> str:
        file, name = named.groups()
        # The docstrings of the two modules are in the reference.
        found = source_of(DOCS.parent / file, name, with_docstring="/" in file)
        return named[0] if found is None else found

    return re.sub(r'^--8<-- "([\w/]+\.py):([A-Za-z_][\w.]*)"$', source, markdown, flags=re.M)


def source_of(file: Path, name: str, with_docstring: bool = False) -> str | None:
    """Returns the source of a function, a class or an assignment, or `None` if there is none."""
    text = file.read_text()
    scope: Any = ast.parse(text)
    for part in name.split("."):
        found = [node for node in getattr(scope, "body", []) if part in names_of(node)]
        if not found:
            return None
        scope = found[-1]  # after its overloads
    lines = text.splitlines()
    first = min(node.lineno for node in [scope, *getattr(scope, "decorator_list", [])])
    shown = lines[first - 1 : scope.end_lineno]
    has_docstring = isinstance(scope, Definition) and ast.get_docstring(scope) is not None
    if has_docstring and not with_docstring:
        docstring, following = scope.body[:2]
        blank = [line for line in lines[docstring.end_lineno : following.lineno - 1] if not line]
        end = docstring.end_lineno + len(blank)  # but not comments
        del shown[docstring.lineno - first : end - first + 1]
    return textwrap.dedent("\n".join(shown))


def names_of(node: ast.stmt) -> set[str]:
    """Returns what a statement defines: a function, a class, or what it assigns to."""
    if isinstance(node, Definition):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        return {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return set()


def with_notes(markdown: str) -> str:
    """Has each item of a list after `<!-- notes -->` appear at the line of code that it names.

    The theme does that, for a line that ends with the item's number in a comment. The list stands
    directly after the listing, and each item begins with a part of a line of it, as code.
    """

    def numbered(match: re.Match[str]) -> str:
        listing, notes = match.groups()
        if re.search(r"#.*\(\d+\)", listing):
            raise ValueError(f"A comment here would be taken for the mark of a note: {listing}")
        lines = listing.splitlines()
        for number, code in enumerate(re.findall(r"^\d+\. +`(.*?)`", notes, re.M), start=1):
            # A comment that is there already would be lost.
            [place] = [i for i, line in enumerate(lines) if code in line and "#" not in line]
            lines[place] += f"  # ({number})!"
        return "\n".join(lines) + "\n\n" + notes

    return re.sub(
        r"(^```python[^`]*^```)\n\n<!-- notes -->\n((?:\d+\. .*\n(?: {4}.*\n|\n(?= {4}))*)+)",
        numbered,
        markdown,
        flags=re.M,
    )


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Names the column in each cell of a table. On a phone, where a row is a list, it is shown."""

    def labelled(table: re.Match[str]) -> str:
        heads = re.findall(r"<th[^>]*>(.*?)</th>", table[0])
        names = [re.sub("<.*?>", "", head.replace("<br>", " ")) for head in heads]
        labels = itertools.cycle(f' data-label="{name}"' if name else "" for name in names)
        return re.sub("<td", lambda _: f"<td{next(labels)}", table[0])

    if page.file.src_uri == "exercises.md":  # where the track names their folders
        link = r'<td><a href="exercises/\1/index.html"><code>\1</code></a>'
        html = re.sub(r"<td><code>(\d\d_\w+)</code>", link, html)
    if page.file.src_uri == "security.md":  # where each statement has a test, as its tooltip
        html = re.sub(r"<code>(test_\w+)</code>", r'<abbr title="\1">tested</abbr>', html)
    return re.sub(r"<table>.*?</table>", labelled, html, flags=re.DOTALL)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Puts the pictures into the pages themselves, where they follow the page's color scheme.

    In the sources a picture is an image like any other, and is seen where these are read. But in
    an `<img>`, a picture knows only the colors of the browser, not those chosen for the page.
    """

    def inlined(image: re.Match[str]) -> str:
        alternative, source = image.groups()
        picture: str = (DOCS / os.path.dirname(page.file.src_uri) / source).read_text()
        return picture.replace('role="img"', f'role="img" aria-label="{alternative}"', 1)

    return re.sub(r'<img alt="([^"]*)" src="([^":]*\.svg)" ?/?>', inlined, output)
