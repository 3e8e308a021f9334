"""What the pages need from MkDocs beyond its plugins. It calls each of these functions by its name."""

from __future__ import annotations

import ast
import os
import re
import textwrap
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent


def on_env(env: Any, config: Any, files: Any) -> None:
    """Makes the names in links.md known to the reference, such as those of Python's own classes."""
    for name, url in re.findall(r"^\[([\w.]+)\]: (\S+)", (DOCS / "links.md").read_text(), re.M):
        config.plugins["autorefs"].register_url(name, url)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Puts the source of a function or class where a page names it: `--8<-- "file.py:name"`."""
    return re.sub(
        r'^--8<-- "(\w+\.py):([A-Za-z_][\w.]*)"$',
        lambda named: source_of(DOCS.parent / named[1], named[2]),
        markdown,
        flags=re.M,
    )


def source_of(file: Path, name: str) -> str:
    """Returns the source of a function or class, without its docstring, which the reference has."""
    text = file.read_text()
    scope: Any = ast.parse(text)
    for part in name.split("."):
        scope = next(node for node in scope.body if getattr(node, "name", None) == part)
    lines = text.splitlines()
    first = min(node.lineno for node in [scope, *scope.decorator_list])
    shown = lines[first - 1 : scope.end_lineno]
    if ast.get_docstring(scope) is not None:
        docstring = scope.body[0]
        del shown[docstring.lineno - first : docstring.end_lineno - first + 1]
        while not shown[docstring.lineno - first].strip():  # the blank lines after it
            del shown[docstring.lineno - first]
    return textwrap.dedent("\n".join(shown))


def on_pre_page(page: Any, config: Any, files: Any) -> Any:
    """Without an address for editing, leads from a page to its source in this clone."""
    if not config.edit_uri:
        page.edit_url = os.path.relpath(
            page.file.abs_src_path, os.path.dirname(page.file.abs_dest_path)
        )
    return page


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Puts the pictures into the pages themselves, where they follow the page's color scheme.

    In the sources a picture is an image like any other, and is seen where these are read. But in
    an `<img>`, a picture knows only the colors of the browser, not those chosen for the page.
    """

    def inlined(image: re.Match[str]) -> str:
        alternative, source = image.groups()
        picture = (DOCS / os.path.dirname(page.file.src_uri) / source).read_text()
        return picture.replace('role="img"', f'role="img" aria-label="{alternative}"', 1)

    return re.sub(r'<img alt="([^"]*)" src="([^":]*\.svg)" ?/?>', inlined, output)
