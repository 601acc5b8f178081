"""Blocks are the same rows whatever a source's pieces, and say what is wrong with it."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, issparse, random_array

from limbeck.data import blocks as cut
from limbeck.data.answers import Teacher
from limbeck.data.blocks import ArraySource, Block, Blocks, block_rows
from limbeck.data.features import Features
from limbeck.data.sources import DaskSource, TableSource
from limbeck.records import UserError

X = np.random.default_rng(0).standard_normal((1000, 5)).astype(np.float32)
P = np.random.default_rng(1).random(1000)
IDS = np.array([f"r{i}" for i in range(1000)], dtype=object)
VECTORS = Features(embedding="X", width=5)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of 64 rows, groups of 512."""
    monkeypatch.setattr(cut, "CELLS", 5 * 64)


class Pieces:
    """A source in pieces of given sizes."""

    name, rows = "pieces", None

    def __init__(self, sizes, X=X):
        self.sizes, self.X = sizes, X

    def pieces(self, start=0):
        assert start == 0
        first = 0
        for size in [*self.sizes, len(self.X)]:
            rows = slice(first, first + size)
            yield Block(first, self.X[rows], IDS[rows], P[rows])
            first = min(first + size, len(self.X))

    def part(self, start, stop):
        return None


def dense(X):
    return X.toarray() if issparse(X) else X


def check(blocks, expected=X):
    """Blocks begin at multiples of their size, groups survive a journey, and both hold the same rows."""
    read = list(blocks)
    assert [block.first for block in read] == list(range(0, len(expected), blocks.size))
    groups = [pickle.loads(pickle.dumps(group)) for group in blocks.groups()]
    assert [group.first for group in groups] == list(range(0, len(expected), 8 * blocks.size))
    for parts in (read, [block for group in groups for block in group]):
        np.testing.assert_array_equal(np.concatenate([dense(part.X) for part in parts]), expected)
    return read


def test_blocks_hold_about_two_million_numbers_and_a_power_of_two_of_rows(monkeypatch):
    monkeypatch.undo()
    assert block_rows(256) == 8192
    assert block_rows(1) == 65536
    assert block_rows(10**7) == 1


@given(sizes=st.lists(st.integers(0, 300), max_size=8))
def test_pieces_of_any_size_make_the_same_blocks_with_their_ids_and_answers(sizes):
    read = check(Blocks(Pieces(sizes)))
    assert [len(block) for block in read] == [64] * 15 + [40]
    for block in read:
        rows = slice(block.first, block.first + len(block))
        assert block.ids.tolist() == IDS[rows].tolist()
        np.testing.assert_array_equal(block.answers, P[rows])


def files(folder):
    np.save(folder / "t.npy", X)
    np.savez(folder / "t.npz", X=X, p=P)
    np.savez_compressed(folder / "c.npz", X=X, p=P)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 5)
    pq.write_table(pa.table({"X": vectors, "p": P}), folder / "t.parquet", row_group_size=300)
    (folder / "t.jsonl").write_text(
        "".join(f'{{"X": {list(map(float, x))}, "p": {p!r}}}\n' for x, p in zip(X, P.tolist(), strict=True))
    )
    parts = folder / "parts"
    parts.mkdir()
    for i in range(4):
        np.save(parts / f"{i}.npy", X[250 * i : 250 * (i + 1)])


def test_every_source_gives_the_same_blocks(tmp_path):
    files(tmp_path)
    mapped = np.load(tmp_path / "t.npy", mmap_mode="r")
    answered = [
        TableSource(tmp_path / name, VECTORS, teacher=Teacher("probability", ("p",)))
        for name in ("t.npz", "c.npz", "t.parquet", "t.jsonl")
    ]
    for source in (
        ArraySource(X), ArraySource(mapped), ArraySource(mapped[:]), ArraySource(csr_array(X)),
        TableSource(tmp_path / "t.npy", VECTORS), TableSource(tmp_path / "parts", VECTORS), *answered,
    ):  # fmt: skip
        read = check(Blocks(source))
        assert read[1].names[0] == "65"
    for source in answered:
        np.testing.assert_array_equal(np.concatenate([block.answers for block in Blocks(source)]), P)


def test_a_memory_map_is_sent_as_the_name_of_its_file(tmp_path):
    np.save(tmp_path / "t.npy", X)
    source = ArraySource(np.load(tmp_path / "t.npy", mmap_mode="r"))
    assert len(pickle.dumps(next(Blocks(source).groups()))) < 1000
    assert ArraySource(X).part(0, 1) is None


def test_sparse_rows_stay_sparse():
    S = random_array((300, 5), density=0.2, rng=np.random.default_rng(0), format="coo")
    read = check(Blocks(ArraySource(S, answers=P[:300])), S.toarray())
    assert all(issparse(block.X) for block in read)


def test_dask_arrays_and_frames_give_the_same_blocks():
    da, dd, pd = (pytest.importorskip(name) for name in ("dask.array", "dask.dataframe", "pandas"))
    check(Blocks(DaskSource(da.from_array(X, chunks=(130, 2)))))
    unknown = da.from_array(X, chunks=(130, 5))
    check(Blocks(DaskSource(unknown[unknown[:, 0] > 0])), X[X[:, 0] > 0])
    frame = pd.DataFrame(X, columns=list("abcde"), index=IDS).assign(p=P)
    blocks = Blocks(DaskSource(dd.from_pandas(frame, npartitions=7, sort=False), answers="p"))
    read = check(blocks)
    assert np.concatenate([block.ids for block in read]).tolist() == IDS.tolist()
    np.testing.assert_array_equal(np.concatenate([block.answers for block in read]), P)


def test_a_frame_whose_index_of_floats_may_have_been_rounded_is_refused():
    dd, pd = (pytest.importorskip(name) for name in ("dask.dataframe", "pandas"))
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=[2.0**53 - 1, 2.0**53])
    with pytest.raises(UserError, match="Row 2, column 'index' holds 9007199254740992"):
        list(Blocks(DaskSource(dd.from_pandas(frame, npartitions=1))))


def test_a_frame_whose_partitions_order_their_columns_otherwise_is_refused():
    dd, pd = (pytest.importorskip(name) for name in ("dask.dataframe", "pandas"))
    dask = pytest.importorskip("dask")
    good, bad = pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"b": [2.0], "a": [1.0]})
    frame = dd.from_delayed([dask.delayed(part) for part in (good, bad)], meta=good, verify_meta=False)
    with pytest.raises(UserError, match=r"row 2 has other columns .* 'b'"):
        list(Blocks(DaskSource(frame)))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (X.astype(np.float64), "rows 4 to 6 have 5 float64 features where the rows before have 5 float32"),
        (X[:, :4], "have 4 float32 features"),
        (csr_array(X), r"\(sparse\)"),
    ],
)
def test_a_piece_of_another_kind_is_named(second, said):
    class Odd(Pieces):
        def pieces(self, start=0):
            yield Block(0, X[:3])
            yield Block(3, second[:3])

    with pytest.raises(UserError, match=said):
        list(Blocks(Odd([])))


def test_what_is_no_pool_is_refused(tmp_path):
    bad = X.copy()
    bad[70, 2] = np.nan
    with pytest.raises(UserError, match="row 71, column 3 holds nan"):
        list(Blocks(ArraySource(bad)))
    with pytest.raises(UserError, match="row 71, column 3 holds nan"):
        list(Blocks(ArraySource(csr_array(bad))))
    for wrong in (np.empty((0, 3)), np.empty(3), np.array([["a"]])):
        with pytest.raises(UserError, match="two axes"):
            ArraySource(wrong)
    with pytest.raises(UserError, match="3 ids for 1000 rows"):
        ArraySource(X, ids="abc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no table"):
        Blocks(TableSource(tmp_path / "empty", VECTORS))


def test_large_numbers_whose_sum_overflows_are_told_from_infinite_ones():
    with pytest.raises(UserError, match="squares of it leave the range"):
        list(Blocks(ArraySource(np.full((4, 2), 1.7e308))))
    with pytest.raises(UserError, match="row 1, column 1 holds inf"):
        list(Blocks(ArraySource(np.full((4, 2), np.inf))))


def test_truncated_files_are_named(tmp_path):
    files(tmp_path)
    for name in ("t.npy", "t.npz", "t.parquet"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            Blocks(TableSource(tmp_path / name, VECTORS))
