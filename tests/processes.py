"""What /proc tells about processes: their children, open files, threads and memory.

A process or thread may end between the moment when it is listed and the moment when it is looked
at. Then there is nothing to tell about it, which is no error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs a /proc that lists tasks"
)


def children() -> set[int]:
    """Returns the ids of the processes that this one started, if they are known."""
    listings = Path("/proc/self/task").glob("*/children")
    return {int(child) for listing in listings for child in _text(listing).split()}


def command(process_id: int) -> str:
    """Returns a process's command line, or none once it is over."""
    return _text(Path(f"/proc/{process_id}/cmdline")).replace("\0", " ").strip()


def state(task: Path) -> str:
    """Returns the letter for what a process or thread is doing, or none once it is gone."""
    return _text(task / "stat").rpartition(")")[2].strip()[:1]


def is_running(process_id: int) -> bool:
    return state(Path(f"/proc/{process_id}")) not in ("Z", "")  # a zombie is over


def open_files_and_threads(process_id: int) -> tuple[int, int]:
    process = Path(f"/proc/{process_id}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def times_scheduled(task: Path) -> int:
    """Returns how often a thread was woken to do something."""
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", _text(task / "status"), re.MULTILINE)
    return int(found[1]) if found else 0


def resident_memory(process_id: int) -> int:
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
