import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_quick_start_runs_and_says_what_it_promises(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) < 20
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["20", "True", "True", "True"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/nonlinear.md"])
def test_files_the_pages_show_exist(page):
    for path in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / page).parent.joinpath(path).exists(), path


@pytest.mark.parametrize("page", ["docs/nonlinear.md"])
def test_code_on_a_page_runs_in_order(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names = {}
    for code in blocks:
        exec(compile(code, page, "exec"), names)
