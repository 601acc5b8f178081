"""What a type checker sees of limbeck is complete: every public symbol has a known type."""

import json
import os
import subprocess
import sys
from pathlib import Path

import limbeck

SKLEARN = {
    "py.typed": "partial\n",
    "__init__.pyi": "",
    "base.pyi": "class BaseEstimator: ...\nclass ClassifierMixin: ...\nclass TransformerMixin: ...\n",
    "utils/__init__.pyi": "",
    "utils/metaestimators.pyi": "from sklearn.base import BaseEstimator\nclass _BaseComposition(BaseEstimator): ...\n",
}
"""The bases that scikit-learn leaves without types: a class that inherits an unknown one is unknown itself."""


def incomplete(package: Path, stubs: Path) -> list[str]:
    """Symbols of ``package/limbeck`` whose type pyright does not know, each with the reason."""
    for name, text in SKLEARN.items():
        file = stubs / "sklearn-stubs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(
        [*command, "--verifytypes", "limbeck", "--ignoreexternal"],
        cwd=stubs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(stubs)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    assert Path(found["packageRootDirectory"]) == package / "limbeck"
    assert len(found["symbols"]) > 1000, "pyright has not read the package"
    return [
        f"{symbol['name']}: {[d['message'] for d in symbol['diagnostics']]}"
        for symbol in found["symbols"]
        if symbol["isExported"] and (symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"])
    ]


def test_every_exported_symbol_has_a_known_type(tmp_path):
    assert incomplete(Path(limbeck.__file__).parents[1], tmp_path) == []
