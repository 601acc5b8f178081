import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "soft-labels.md"


def test_the_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    assert "alpha = 0 was not tried" in capsys.readouterr().out


def test_its_figures_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / path).exists(), path
