"""Gives the wheel a stub package for each module: the module itself, under another name.

Type checkers ignore the types in an installed module unless a file `py.typed` stands in its
package, and a single-file module is no package. They do read stub packages (PEP 561), and what
is in a stub besides the signatures does not disturb them.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubsHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # Copies, because a file can go to one place in the wheel only.
        self.copies = tempfile.mkdtemp()
        if version == "editable":  # there, copies would soon differ from the modules
            return
        for module in "proxyfuture", "connectors":
            stub = Path(self.copies) / f"{module}.pyi"
            shutil.copy(Path(self.root) / f"{module}.py", stub)
            build_data["force_include"][str(stub)] = f"{module}-stubs/__init__.pyi"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self.copies)
