"""A page's blocks, run in order in an empty folder: python in one namespace, limbeck commands in this process."""

import contextlib
import io
import re
import shlex
from pathlib import Path

from command import in_process

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    """(language, text) of every fenced block of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(python|sh|text)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(block):
    """Arguments of each ``limbeck`` command of a shell block."""
    lines = block.replace("\\\n", " ").strip().splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(line[0] == "limbeck" for line in words), block
    return [line[1:] for line in words]


def run(page, monkeypatch, capsys):
    """Run the page; yield (what was printed, what the page says was printed) for every ``text`` block."""
    names, said = {}, ""
    for language, text in blocks(page):
        if language == "text":
            yield said, text
            continue
        said = ""
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(text, page, "exec"), names)
            said = printed.getvalue()
            continue
        for arguments in commands(text):
            code, out, error = in_process(monkeypatch, capsys, *arguments)
            assert code == 0, f"limbeck {shlex.join(arguments)}: {error}"
            said += out
