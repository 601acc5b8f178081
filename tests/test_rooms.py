"""Which modules may be seen from where, beyond what import-linter asks: a room's private modules stay in the room."""

import ast
from pathlib import Path

import limbeck

ROOT = Path(limbeck.__file__).parent


def imported(path):
    """Full names that a file imports from limbeck."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "limbeck":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("limbeck"))


def test_private_modules_are_imported_in_their_own_room_only():
    strangers = []
    for path in ROOT.rglob("*.py"):
        home = path.relative_to(ROOT).parts[:-1]
        for name in imported(path):
            parts = name.split(".")[1:]
            private = [
                i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")
            ]
            if private and tuple(parts[: private[0]]) != home[: private[0]]:
                strangers.append(f"{path.relative_to(ROOT)}: {name}")
    assert strangers == []
