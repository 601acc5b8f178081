import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit, log_softmax

from limbeck.data.answers import Teacher, classes_named, read_answers
from limbeck.data.columns import numbers, texts, vectors
from limbeck.data.features import Features, choose
from limbeck.data.pool import answers_in, chunks_of, flags, joined, read_pool
from limbeck.data.tables import FORMATS, CsvTable, JsonLinesTable, open_table, read, require
from limbeck.records import UserError
from limbeck.students.study import Recipe, distil

IDS = ["a", "007", "c", "d"]
X = np.array([[1.5, 2.0], [0.1, -3.0], [1e-300, 4.0], [7.0, 0.0]])


def write(folder, kind):
    """The same four rows in every format."""
    path = folder / f"table.{kind}"
    if kind == "npz":
        np.savez(path, id=np.array(IDS), x0=X[:, 0], x1=X[:, 1], v=X)
    elif kind == "parquet":
        pq.write_table(pa.table({"id": IDS, "x0": X[:, 0], "x1": X[:, 1], "v": list(X)}), path)
    elif kind == "jsonl":
        rows = zip(IDS, X.tolist(), strict=True)
        path.write_text(
            "".join(json.dumps({"id": i, "x0": x[0], "x1": x[1], "v": x}) + "\n" for i, x in rows)
        )
    else:
        sep = "\t" if kind == "tsv" else ","
        rows = [
            sep.join([i, str(x[0]), str(x[1]), f'"{json.dumps(list(x))}"'])
            for i, x in zip(IDS, X, strict=True)
        ]
        path.write_text(sep.join(["id", "x0", "x1", "v"]) + "\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl", "npz"])
def test_every_format_gives_the_same_points_with_their_ids(tmp_path, kind):
    table = open_table(write(tmp_path, kind))
    assert table.columns == ("id", "x0", "x1", "v")
    for features in (choose(table, ["x*"]), choose(table, embedding="v")):
        pool = read_pool(table, features, "id")
        assert pool.ids.tolist() == IDS
        np.testing.assert_array_equal(pool.X, X)
    assert pool.features.width == 2
    assert pool.features.names == ["v[0]", "v[1]"]


@given(values=arrays(np.float64, (5, 3), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_survive_csv_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("a,b,c\n" + "\n".join(",".join(map(repr, map(float, row))) for row in values))
    pool = read_pool(open_table(path), Features(("a", "b", "c")), None)
    np.testing.assert_array_equal(pool.X, values)
    assert pool.ids.tolist() == list("12345")


def test_ids_match_across_formats_and_types():
    whole = [
        texts(pa.array(v), "id") for v in ([1, 20], [1.0, 20.0], ["1", "20"], np.array([1, 20], np.int8))
    ]
    assert whole == [["1", "20"]] * 4


def test_float32_columns_stay_float32_and_dictionaries_are_decoded():
    assert numbers(pa.array(np.ones(3, np.float32)), "x").dtype == np.float32
    assert numbers(pa.array(np.ones(3, np.float16)), "x").dtype == np.float16
    assert texts(pa.array(["a", "b", "a"]).dictionary_encode(), "x") == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(["1", "2", "x7"]), r"Row 13, column 'c' holds 'x7', which is not a number"),
        (pa.array(["1", " ", ""]), r"Row 12, column 'c'|Row 13, column 'c' is empty"),
        (pa.array([1.0, None]), r"Row 12, column 'c' is empty"),
        (pa.array([1.0, np.nan]), r"Row 12, column 'c' holds nan"),
        (
            pa.array([[1.0], [2.0]]),
            r"holds list<.*numbers are needed \(a list column is given by --embedding\)",
        ),
        (pa.array(["1_000"]), r"'1_000', which is not a number"),
    ],
)
def test_a_number_that_is_none_is_named_by_row_and_column(column, said):
    with pytest.raises(UserError, match=said):
        numbers(column, "c", 10)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([[1.0], [1.0, 2.0]]), r"Row 2, column 'v' holds a list of 2 where the first row holds 1"),
        (pa.array([[1.0, 2.0], [1.0, None]]), r"Row 2, column 'v' has a gap"),
        (pa.array([[1.0, 2.0], [1.0, np.inf]]), r"Row 2, column 'v' holds inf at position 2"),
        (pa.array(["[1, 2]", "[1, 'x']"]), r"Row 2, column 'v' holds .*no list of numbers"),
        (pa.array(["[1, true]"]), "no list of numbers"),
        (pa.array([1.0]), "a list of numbers in every row"),
        (pa.array([[1.0], None]), "Row 2, column 'v' is empty"),
        (pa.array(["[1]", ""], pa.large_string()), "Row 2, column 'v' is empty"),
        (pa.array([[], []], pa.list_(pa.float64())), "holds an empty list"),
    ],
)
def test_a_vector_that_is_none_is_named(column, said):
    with pytest.raises(UserError, match=said):
        vectors(column, "v")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "short.csv").write_text("a,b\n1,2\n3\n")
    (folder / "twice.csv").write_text("a,a\n1,2\n")
    (folder / "nothing.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "latin.csv").write_bytes("a,b\nné,2\n".encode("latin-1"))
    (folder / "utf16.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    (folder / "text.parquet").write_text("a,b\n1,2\n")
    whole = write(folder, "parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "mixed.jsonl").write_text('{"a": 1, "b": 2}\n{"a": "x", "b": 2}\n')
    (folder / "long.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 123456789012345678901, "b": 2}\n')
    (folder / "empty.jsonl").write_text('{"a": null, "b": 2}\n{"a": 1, "b": 2}\n{"a": "x", "b": 2}\n')
    (folder / "half.jsonl").write_text('{"a": "x", "b": 2}\n{"a": "\\ud800", "b": 2}\n')
    (folder / "halves.jsonl").write_text('{"a": ["x"], "b": 2}\n{"a": ["\\ud800"], "b": 2}\n')
    (folder / "more.jsonl").write_text('{"a": 1, "b": 2}\n{"b": 1, "a": 2}\n{"a": 1, "b": 2, "c": 3}\n')
    (folder / "bad.jsonl").write_text('{"a": 1, "b": 2}\n{"a": \n')
    (folder / "double.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 1, "a": 2, "b": 3}\n')
    (folder / "list.jsonl").write_text("[1, 2]\n")
    np.savez(folder / "lengths.npz", a=np.ones(2), b=np.ones(3))
    np.savez(folder / "cube.npz", a=np.ones((2, 2, 2)), b=np.ones(2))
    np.savez(folder / "pickle.npz", a=np.array([{}, []], dtype=object), b=np.ones(2))
    np.savez_compressed(folder / "bomb.npz", a=np.zeros(40_000_000), b=np.ones(1))
    (folder / "renamed.npz").write_bytes(b"\x80\x04\x95pickle")
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short.csv", "Row #3: Expected 2 columns, got 1"),
        ("twice.csv", "the column 'a' occurs twice"),
        ("nothing.csv", "the file is empty"),
        ("header.csv", "the table has no rows"),
        ("latin.csv", "Row #2.*invalid UTF8"),
        ("utf16.csv", "zero bytes"),
        ("text.parquet", "damaged or not what its ending says"),
        ("cut.parquet", "damaged or not what its ending says"),
        ("mixed.jsonl", "Row 2, column 'a' holds str where row 1 holds int"),
        ("long.jsonl", "Row 2, column 'a' holds a whole number beyond 64 bits: write it in quotes"),
        ("empty.jsonl", "Row 3, column 'a' holds str where row 2 holds int"),
        ("half.jsonl", "Row 2, column 'a' holds half a character"),
        ("halves.jsonl", "Row 2, column 'a' holds half a character"),
        ("more.jsonl", "line 3: the key 'c' is not in the first line, .* null where it has none"),
        ("bad.jsonl", "line 2: not JSON"),
        ("double.jsonl", "line 2: not JSON .a name occurs twice"),
        ("list.jsonl", "list where an object is needed"),
        ("lengths.npz", "differ in their number of rows"),
        ("cube.npz", r"shape \(2, 2, 2\)"),
        ("pickle.npz", "they are pickles"),
        ("bomb.npz", "would unpack to"),
        ("renamed.npz", "damaged or not what its ending says"),
        ("no.csv", "no such file"),
        ("table.xlsx", "unknown kind of table. Known endings: .csv"),
    ],
)
def test_a_damaged_table_is_refused_by_name(damaged, name, said):
    with pytest.raises(UserError, match=said):
        for _ in read(open_table(damaged / name), ["a", "b"]):
            pass


def test_a_key_that_a_later_json_line_lacks_is_empty(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1, "b": null}\n{"a": 2}\n{"b": 3}\n')
    table = open_table(tmp_path / "t.jsonl")
    (chunk,) = read(table, ["a", "b"])
    assert chunk.columns["b"].to_pylist() == [None, None, 3]
    with pytest.raises(UserError, match="Row 3, column 'a' is empty"):
        read_pool(table, choose(table, ["a"]), None)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "npz"])
def test_true_and_false_are_flags_in_every_format(tmp_path, kind):
    path, said = tmp_path / f"t.{kind}", ["True", "FALSE", "true", " false", "1", "0"]
    if kind == "npz":
        np.savez(path, audit=np.array(said))
    elif kind == "parquet":
        pq.write_table(pa.table({"audit": said}), path)
    else:
        lines = [json.dumps({"audit": word}) for word in said] if kind == "jsonl" else ["audit", *said]
        path.write_text("\n".join(lines) + "\n")
    assert flags(open_table(path), "audit").tolist() == [1, 0, 1, 0, 1, 0]


def test_flags_may_be_empty_and_nothing_else(tmp_path):
    (tmp_path / "t.csv").write_text("audit,x\nTrue,1\n,2\nFalse,3\n")
    np.testing.assert_array_equal(flags(open_table(tmp_path / "t.csv"), "audit"), [1, np.nan, 0])
    (tmp_path / "t.csv").write_text("audit\nTrue\nTruly\n")
    with pytest.raises(UserError, match="Row 2, column 'audit' holds 'Truly'"):
        flags(open_table(tmp_path / "t.csv"), "audit")


class Counted(str):
    """A column's name that counts how often it is compared or hashed."""

    uses = 0

    def __eq__(self, other):
        Counted.uses += 1
        return str(self) == str(other)

    def __hash__(self):
        Counted.uses += 1
        return hash(str(self))


def test_columns_are_looked_up_in_linear_time(tmp_path, monkeypatch):
    size = 1000

    class Wide(JsonLinesTable):
        def __init__(self, path):
            super().__init__(path)
            self.columns = tuple(Counted(f"x{i}") for i in range(size))

    (tmp_path / "t.jsonl").write_text(json.dumps({f"x{i}": i for i in range(size)}) + "\n")
    monkeypatch.setitem(FORMATS, ".jsonl", Wide)
    Counted.uses = 0
    table = open_table(tmp_path / "t.jsonl")
    require(table, table.columns)
    assert len(choose(table, ["x*"], taken=["x1"]).columns) == size - 1
    assert Counted.uses < 30 * size


def test_a_missing_column_lists_what_there_is(tmp_path):
    with pytest.raises(UserError, match=r"no column 'y'. There are 4: 'id', 'x0'"):
        next(read(open_table(write(tmp_path, "csv")), ["y"]))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "say which columns are features"),
        ({"globs": ["emb_*"]}, "matches no column"),
        ({"embedding": "w"}, "--embedding 'w' is no column"),
        ({"text": "id", "taken": ["id"]}, "also named as id or answer"),
    ],
)
def test_features_that_are_not_there_are_refused(tmp_path, asked, said):
    with pytest.raises(UserError, match=said):
        choose(open_table(write(tmp_path, "csv")), **asked)


def test_a_glob_that_catches_text_names_the_column_and_leaves_ids_alone(tmp_path):
    table = open_table(write(tmp_path, "csv"))
    assert choose(table, ["*"], taken=["id", "v"]).columns == ("x0", "x1")
    with pytest.raises(UserError, match="Row 1, column 'id' holds 'a', which is not a number"):
        read_pool(table, choose(table, ["*"]), None)


def test_words_become_sparse_features_that_survive_saving(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,said\n" + "".join(f"{i},good film number {i}\n{i},bad film\n" for i in range(40)))
    table = open_table(path)
    pool = read_pool(table, choose(table, ["n"], text="said"), None, most_terms=4)
    assert pool.X.shape == (80, 5)
    assert set(pool.features.terms) >= {"bad", "film", "good"}
    again = Features.from_json(json.loads(json.dumps(pool.features.to_json())))
    assert again == pool.features
    rows = np.concatenate([X.toarray() for _, X in chunks_of(table, again, None)])
    np.testing.assert_array_equal(rows, pool.X.toarray())


def test_a_text_without_words_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("said\n?\n!\n")
    table = open_table(tmp_path / "t.csv")
    with pytest.raises(UserError, match="holds no words"):
        read_pool(table, choose(table, text="said"), None)


# -- answers ------------------------------------------------------------------------------------------


def test_answers_join_by_id_whatever_their_order(tmp_path):
    points = open_table(write(tmp_path, "parquet"))
    pool = read_pool(points, choose(points, ["x*"]), "id")
    (tmp_path / "said.csv").write_text("id,p\nd,0.25\na,0.75\n")
    answered = joined(pool, points, open_table(tmp_path / "said.csv"), Teacher("probability", ("p",)), "id")
    assert answered.rows.tolist() == [0, 3]
    assert answered.answers.labels.probabilities.tolist() == [0.75, 0.25]
    assert answered.answers.classes == ("0", "1")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("q,0.5\nr,0.5", "have no id in common .*'q' in one, 'a' in the other"),
        ("a,0.5\nq,0.5", "1 answers have ids that .* the first is 'q', row 2"),
        ("a,0.5\na,0.6", r"the id 'a' \(column 'id'\) occurs in rows 1 and 2"),
        ("a,1.5", "1.5 in row 1 is not a probability"),
        ("a,", "Row 1, column 'p' is empty"),
    ],
)
def test_answers_that_do_not_join_are_named(tmp_path, rows, said):
    points = open_table(write(tmp_path, "parquet"))
    pool = read_pool(points, choose(points, ["x*"]), "id")
    (tmp_path / "said.csv").write_text(f"id,p\n{rows}\n")
    with pytest.raises(UserError, match=said):
        joined(pool, points, open_table(tmp_path / "said.csv"), Teacher("probability", ("p",)), "id")


def test_an_id_given_twice_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("id,x\na,1\nb,2\na,3\n")
    table = open_table(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"'a' \(column 'id'\) occurs in rows 1 and 3"):
        read_pool(table, choose(table, ["x"]), "id")


def answers(folder, text, teacher):
    (folder / "a.csv").write_text(text)
    return answers_in(open_table(folder / "a.csv"), teacher).answers


def test_each_kind_of_answer_is_read_and_classes_are_named(tmp_path):
    three = answers(tmp_path, "p,q,r\n0.2,0.3,0.5\n0.1,0.1,0.8\n", Teacher("probability", ("p", "q", "r")))
    assert three.classes == ("p", "q", "r")
    logits = answers(tmp_path, "z\n-2\n3\n", Teacher("logit", ("z",), ("ham", "spam")))
    np.testing.assert_array_equal(logits.labels.logits, [-2, 3])
    assert logits.classes == ("ham", "spam")
    logs = answers(tmp_path, "l\n-0.6931471805599453\n", Teacher("log-probability", ("l",)))
    np.testing.assert_allclose(logs.labels.logits, 0, atol=1e-15)
    hard = answers(tmp_path, "y\nspam\nham\nspam\n", Teacher("label", ("y",)))
    assert hard.classes == ("ham", "spam")
    assert hard.labels.probabilities.tolist() == [1, 0, 1]
    infinite = answers(tmp_path, "z\n-inf\n3\n", Teacher("logit", ("z",)))
    assert infinite.labels.saturated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "teacher", "said"),
    [
        ("p,q\n0.2,0.3\n", Teacher("probability", ("p", "q")), "Row 1 .*sums to 0.5"),
        (
            "z\n1\n",
            Teacher("logit", ("z",), ("a", "b", "c")),
            "names 3 classes, and the teacher answers for 2",
        ),
        ("y\na\nb\nc\n", Teacher("label", ("y",), ("a", "b")), "Row 3, column 'y' holds 'c'"),
        ("y\na\na\n", Teacher("label", ("y",)), "one class only, 'a'"),
        ("y\na\nb\n", Teacher("label", ("y",), ("a", "b", "c")), "The class 'c' never occurs"),
    ],
)
def test_answers_that_are_none_are_refused(tmp_path, text, teacher, said):
    with pytest.raises(UserError, match=said):
        answers(tmp_path, text, teacher)


def test_chunks_do_not_change_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.data.tables.ROWS", 3)
    for kind in ("parquet", "jsonl", "npz"):
        table = open_table(write(tmp_path, kind))
        chunks = list(read(table, ["x0", "id"]))
        assert [chunk.first for chunk in chunks] == [0, 3]
        assert [len(chunk) for chunk in chunks] == [3, 1]
    assert len(read_answers(Teacher("logit", ("x0",)), chunks)[1].labels) == 4


def test_a_field_may_hold_a_line_break(tmp_path):
    (tmp_path / "t.csv").write_text('id,x\n"a\nb",1\n"c",2\n')
    table = open_table(tmp_path / "t.csv")
    assert isinstance(table, CsvTable)
    assert read_pool(table, choose(table, ["x"]), "id").ids.tolist() == ["a\nb", "c"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["logit", "log-probability", "probability"])
def test_answers_reach_an_estimator_in_the_precision_they_were_stored_in(tmp_path, kind, dtype):
    rng = np.random.default_rng(0)
    z = 6 * rng.standard_normal(200)
    stored = {"logit": z, "log-probability": log_expit(z), "probability": expit(z)}[kind].astype(dtype)
    pq.write_table(pa.table({"said": stored}), tmp_path / "said.parquet")
    _, said = read_answers(
        Teacher(kind, ("said",)), list(open_table(tmp_path / "said.parquet").chunks(["said"]))
    )
    # True of the answers before they were stored; expit and log_expit round by up to 4 units of 64 bits themselves.
    assert np.all(np.abs(said.labels.logits - z) <= said.labels.error * (1 if dtype is np.float32 else 4))
    assert np.median(said.labels.error) > 0.1 * np.finfo(dtype).eps


@pytest.mark.parametrize("top_k", [None, "uniform"])
def test_what_rounding_explains_of_log_probabilities_reaches_the_verdict(tmp_path, top_k):
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((300, 4)), rng.standard_normal((4, 3))
    # A linear teacher, of three classes or as its second class alone, to 3 decimals.
    logs = log_softmax(X @ W, axis=1) if top_k else log_expit(X @ W[:, :1])
    np.savez(tmp_path / "said.npz", X=X, z=np.round(logs, 3) if top_k else np.round(logs[:, 0], 3))
    chunks = list(open_table(tmp_path / "said.npz").chunks(["z"]))
    _, said = read_answers(Teacher("log-probability", ("z",), top_k=top_k), chunks)
    found = distil(X, said, Recipe()).inner.linearity_
    assert found.verdict == "linear"
    assert 1e-5 < found.explained < 1e-2


def test_a_header_of_texts_beyond_all_bounds_is_refused(tmp_path):
    # NumPy 2.1 makes it a type of negative size, and tried to allocate that.
    head = b"{'descr': '<U1000000000', 'fortran_order': False, 'shape': (4, 3), }".ljust(117) + b"\n"
    (tmp_path / "t.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(96)
    )
    with pytest.raises(UserError, match=r"t\.npy"):
        list(read(open_table(tmp_path / "t.npy"), ["X"]))


def test_probabilities_given_as_logits_are_refused(tmp_path):
    P = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    np.savez(tmp_path / "t.npz", z=P, l=np.log(P))
    with pytest.raises(UserError, match=r"given as logits.*--teacher-probability"):
        read_answers(Teacher("logit", ("z",)), list(open_table(tmp_path / "t.npz").chunks(["z"])))
    read_answers(Teacher("logit", ("l",)), list(open_table(tmp_path / "t.npz").chunks(["l"])))


def test_classes_named_by_a_pattern_that_stops_before_the_separator(tmp_path):
    pq.write_table(pa.table({"logit_a": [1.0], "logit_b": [2.0]}), tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    assert classes_named(table, ["logit*"], ("logit_a", "logit_b")) == ("a", "b")
