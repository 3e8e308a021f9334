"""An extension of Griffe, which reads the modules for the reference."""

from __future__ import annotations

from typing import Any

import griffe


class SignatureOfNew(griffe.Extension):
    """Shows the arguments of a class that takes them in `__new__`, as it does those of others."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        if "__new__" in cls.members:
            cls.members.setdefault("__init__", cls.members["__new__"])
