"""Puts the pictures into the built pages themselves, where they follow the page's color scheme.

A hook of MkDocs (see mkdocs.yml). In the sources a picture is an image like any other, so that it
is also seen where the sources are read. In an `<img>`, a picture knows the colors of the browser
only, not those that the reader has chosen for the page.
"""

import re
from pathlib import Path
from typing import Any


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Called by MkDocs for each page, after the search index has been made of its text."""

    def inlined(image: re.Match[str]) -> str:
        alternative, source = image.groups()
        picture = (Path(config.docs_dir, page.file.src_uri).parent / source).read_text()
        return picture.replace('role="img"', f'role="img" aria-label="{alternative}"', 1)

    return re.sub(r'<img alt="([^"]*)" src="([^":]*\.svg)" ?/?>', inlined, output)
