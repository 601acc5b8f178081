"""The sections of docs/reliability.md: each runs one campaign at full size and words what it found."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from limbeck.data import tables as tabular
from limbeck.students import saving
from torture import (
    accuracy,
    buying,
    calls,
    determinism,
    disks,
    hostile,
    inputs,
    jobs,
    kills,
    learners,
    load,
    odd,
    proofs,
    shown,
    supply,
    tables,
)

CALLS = {
    **calls.SPANS, **calls.FLOWS, **calls.LAWS, **calls.LABELS, **learners.LEARNERS, **buying.BUYING, **shown.SHOWN,
    **tables.TABLES,
}  # fmt: skip
CASES = 20_000
FITS = 1000


def bad_inputs(cases: int = CASES) -> str:
    """Odd arguments for every public function and estimator, odd tables for every command that reads one."""
    found = inputs.campaign(CALLS, cases)
    total = found.total
    return (
        "## Bad input\n\n"
        "A call gets an answer that is right, or a `ValueError`, `TypeError`, `ArithmeticError` or `UserError` that "
        "limbeck (or scikit-learn's validation) raised on purpose; a command ends with exit code 0 and the right "
        "answers, or with 2, a line of reason and no file written or changed. No warning leaks from below, nothing "
        f"given is changed, and no call takes longer than {inputs.PATIENCE} s of processor time. Hypothesis picks: "
        f"shapes (n = 0, 1, d - 1, d, d + 1 and more), {len(odd.VALUES)} kinds of values (NaN, inf, denormals, "
        f"1e±300, "
        "copied, collinear and all but collinear rows, rows or columns 1e±12 apart), "
        f"{len(odd.MEMORY)} kinds of memory and type (strided, reversed, unaligned, read-only, other byte order, "
        "float16 to longdouble, whole numbers, bool, objects, text, complex, dates, sparse, masked, ragged, too "
        "few or "
        f"too many axes), {len(odd.ODD_NUMBERS)} odd numbers for every parameter; for tables {len(tables.FORMATS)} "
        f"formats, {len(tables.CONTENTS)} kinds of content (NaN, gaps, thousands separators, ids twice, names twice, "
        f"ragged rows, none or one), {len(tables.BYTES) + len(tables.TEXTS)} of bytes (other encodings, cut, "
        f"flipped, "
        f"zeros, a pickle), {len(tables.FILES)} names of files and wrong endings. A test fails if a public "
        f"function or "
        "class is left out. Seeded: the same cases every time; a finding is made as small as it goes.\n\n"
        f"{found.cases} inputs to {len(CALLS)} calls: {total['answered']} answered ({total['checked']} of them "
        "checked against a reference or a property that the right answer has), "
        f"{total['refused']} refused, {len(found.findings)} neither:\n\n{_listed(found)}\n"
        f"Sizes: the largest entry of an array is 0 or between {_least():g} and {_most():g}; anything else is "
        f"refused, "
        "since its squares leave the range of floats.\n\n"
    )


def _listed(found: inputs.Outcome) -> str:
    return "".join(f"- `{f.name}`: {f.what} ({f.arguments})\n" for f in found.findings) or "- none\n"


def _least() -> float:
    from limbeck import _check

    return _check.LEAST


def _most() -> float:
    from limbeck import _check

    return _check.MOST


def numerical_soundness(matrices: int = 5) -> str:
    """Backward and forward errors against 100 digits."""
    found = accuracy.table(matrices)
    lines = [
        "| condition | " + " | ".join(f"{name}: backward, forward, rank" for name in accuracy.SHAPES) + " |"
    ]
    lines.append("|---|" + "---|" * len(accuracy.SHAPES))
    for condition in accuracy.CONDITIONS:
        cells = []
        for name in accuracy.SHAPES:
            worst = [found[name, condition, scale] for scale in accuracy.SCALES]
            cells.append(
                f"{max(r.backward for r in worst):.2g}, {max(r.forward for r in worst):.2g}, "
                f"{min(r.rank for r in worst)}"
            )
        lines.append(f"| {condition:.0e} | " + " | ".join(cells) + " |")
    sure = [r for (_, condition, _), r in found.items() if condition <= 1e12]
    threads = accuracy.across_threads()
    return (
        "## Numerical soundness\n\n"
        "`Span(X).weights(z)` against the minimum-norm least-squares answer in 100 digits to the same floats. "
        "Singular "
        "values fall geometrically from 1 to 1/condition; the matrix is multiplied by 1e-150, 1e-75, 1, 1e75 and "
        f"1e150, {matrices} matrices each; n > d with inconsistent logits. The worst of all: normwise backward error "
        "in units of eps = 2.2e-16; forward error |w - w_exact| / |w_exact| in units of condition x eps; the "
        "least rank found (6, 8, 8 are right).\n\n" + "\n".join(lines) + "\n\n"
        f"Promise: up to condition 1e12, at any scale from 1e-150 to 1e150, the backward error stays below 10 eps "
        f"(measured: {max(r.backward for r in sure):.2g}), so that from consistent logits the student is right to "
        "10 x condition x eps. Beyond, a direction below `tol` (8 max(n, d) eps of a row's length by default) counts "
        "as rounding and is left out: the rank says so.\n\n"
        f"One BLAS thread against two (n x d = 1500 x 300 and 300 x 1500, exact and ridge): students differ by "
        f"{threads:.1e} of their norm; promised: 1e-12.\n\n"
    )


def killed(times: int = 100) -> str:
    """Commands killed at random moments."""
    found = []
    for name in kills.JOBS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(kills.campaign(name, times, Path(folder)))
        print(found[-1], file=sys.stderr, flush=True)
    rows = "\n".join(
        f"| `{k.job}` | {k.seconds:.1f} s | {k.kills} | {k.writing} | {k.completed} | {k.torn} | {k.left} | "
        f"{k.wrong} | {k.twice if k.job == 'label' else ''} |"
        for k in found
    )
    return (
        "## Kills\n\n"
        "SIGKILL to a run under way, the same command run again, again killed, and so on until so many kills hit; "
        "then once to the end. Half of the kills come at a moment uniform in the undisturbed duration (without the "
        "imports, which are done before), half up to 3 ms after a number of changes in the folder uniform in what an "
        "undisturbed run makes. A run that comes to its end in between is compared, byte for byte save dates and "
        "durations, with an undisturbed one's files, and the next begins anew. Locks go with the process that held "
        "them: no run was refused because of a dead one.\n\n"
        "| command | undisturbed | kills | of these, while a file or part was being written | runs that came to "
        "their end | outputs seen after a kill that were neither absent nor whole | files left aside at an end | "
        "ends with other files | answers bought twice |\n|---|---|---|---|---|---|---|---|---|\n"
        + rows
        + "\n\n"
        "`label` runs with `--ask-again`: an answer counts as bought twice if it was asked for again although the "
        "first question did not go down with a killed run. `tests/budget/killing.py` kills teacher and run without "
        "it: what may have been paid for is then set aside as `unknown`, never asked again.\n\n"
    )


def hindered(many: int = jobs.MANY) -> str:
    """Full disks, folders that turn read-only, and two runs at once."""
    rows, real, words = [], True, {}
    for name in kills.JOBS:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            job = disks.Undisturbed(name, place, many)
            found = {}
            for share in disks.ROOMS:
                mounted, found[f"room for {share:.0%}"] = disks.full(job, place / f"disk-{share}", share)
                real &= mounted
            found["no file beyond 50%"] = disks.limited(job, place / "limited", 0.5)
            found["read-only before"] = disks.read_only(job, place / "before", from_the_start=True)
            found["read-only meanwhile"] = disks.read_only(job, place / "meanwhile", from_the_start=False)
            found["two at once"], other = disks.two_at_once(job, place / "two")
        verdicts = [
            "as promised" if h.sound else f"WRONG: {h.code}, {h.spoilt}, {h.said[-200:]}"
            for h in found.values()
        ]
        rows.append(f"| `{name}` | " + " | ".join(verdicts) + f" | {'yes' if other == 0 else 'NO'} |")
        words = {what: h.said for what, h in found.items()} if name == "distill" else words
        print(rows[-1], file=sys.stderr, flush=True)
    how = (
        "The full disk is a tmpfs that is filled but for a share of what the command writes; beside it no file "
        "may grow beyond half of the largest output (RLIMIT_FSIZE)."
        if real
        else "Mounting was not permitted here: instead of on a full disk, no file can grow beyond a share of the "
        "largest output (RLIMIT_FSIZE)."
    )
    quoted = "".join(f'- {what}: "Error: {said.rpartition("Error: ")[2]}"\n' for what, said in words.items())
    return (
        "## Full disks, read-only folders, two runs at once\n\n"
        f"{how} A folder is made read-only by its permissions, which also bind the superuser once the right to "
        "override them is dropped (setpriv). Of two runs at once the first is halted once it holds its output, the "
        "second begun, the first let go on. As promised is: exit code 2, a message with the reason and no traceback; "
        "every output whole or what an earlier run had left there; and the same command, no longer hindered, ends "
        "with an undisturbed run's files and nothing left aside.\n\n"
        "| command | " + " | ".join(words) + " | the first of two ends well |\n"
        "|---|" + "---|" * (len(words) + 1) + "\n" + "\n".join(rows) + "\n\n"
        f"What `distill` says:\n\n{quoted}\n"
        "`label` sends no question unless 1 MiB, or as much as the longest reply so far, is free for its answer and "
        "for each that is out.\n\n"
    )


def hostile_files(cases: int = 2_000) -> str:
    """Files that mean harm."""
    found = inputs.campaign(hostile.HOSTILE, cases)
    rows = "".join(
        f"| {name} | {c['answered'] + c['refused']} | {c['refused']} | {c['answered']} |\n"
        for name, c in found.counts.items()
    )
    limits = (
        f"a student's file {saving.LARGEST_MIB} MiB, nested {saving.DEEPEST} deep; a line of a table or record "
        f"{tabular.LARGEST_LINE >> 20} MiB; a member of an archive {tabular.MOST_INFLATED} times its packed "
        f"size (if that is "
        f"above 1 MiB), packed or not {tabular.LARGEST_ARRAY >> 30} GiB; a Parquet file's columns "
        f"{tabular.MOST_REPEATED} times the file (if above 1 MiB); whole numbers in JSON "
        f"{sys.get_int_max_str_digits()} digits"
    )
    return (
        "## Hostile files\n\n"
        "A file is data. It is read as such or refused by an error that names it: no code of it runs, nothing "
        "is written "
        "but what was asked for, and no call takes longer than "
        f"{inputs.PATIENCE} s of processor time. Hypothesis edits values (NaN, 401 digits, other types, names "
        f"of types and "
        "modules), leaves keys out or doubles them, nests lists 100,000 deep, cuts, flips and inserts bytes, puts a "
        "pickle in the file's place; students are also signed anew after the edit, which anybody can do. "
        f"{len(hostile.ARRAYS)} kinds of arrays (objects, pickles, code in the header, sizes beyond the file, "
        f"negative "
        f"ones) bare, in archives, cut, beside a bomb of 300 MiB. {len(hostile.PAYLOADS)} texts (scripts, event "
        f"handlers, "
        "templates, formulas, control characters, paths) are ids, labels and file names of tables for distill, "
        "select, "
        "plan, audit and predict: in no page is an element, attribute or address that could run or load "
        "anything, and "
        "each has its Content-Security-Policy; that a script in it would not run is tested in a browser.\n\n"
        "| what | files | refused | read as data |\n|---|---|---|---|\n" + rows + "\n"
        f"Neither: {len(found.findings)}\n\n{_listed(found)}\n"
        f"Limits: {limits}.\n\n"
        "CSV for spreadsheets: a text that begins like a formula (`=`, `+`, `-`, `@`, tab, line break, or their wide "
        "forms; numbers apart) is written with an apostrophe before it. limbeck takes it off again when it "
        "reads a CSV, so "
        "that ids come back as they were; other programs see it: write `.jsonl` or `.parquet` for ids as they "
        "are. On a "
        "terminal control characters are shown as escapes.\n\n"
    )


def proved(certificates: int = 1_000_000) -> str:
    """Certificates from computed answers, until there are so many."""
    found, rounds = proofs.Proofs(), 0
    while found.proved.total() < certificates:
        proofs.campaign(found, rounds)
        rounds += 1
        print(rounds, found.proved.total(), found.false.total(), file=sys.stderr, flush=True)
    rows = "".join(
        f"| {kind} | {found.points[kind]} | {found.proved[kind] / found.points[kind]:.1%} | {found.proved[kind]} | "
        f"{found.false[kind]} | {found.refused[kind]} |\n"
        for kind in proofs.TYPES
    )
    wrong = "".join(f"- {where}\n" for where in found.where)
    return (
        "## Proofs from computed answers\n\n"
        "`SoftLabelClassifier.certify` against linear teachers whose answers were computed in short or long floats, "
        "every operation rounded to the type: "
        + ", ".join(proofs.ANSWERS)
        + "; teacher norms "
        + ", ".join(f"{norm:g}" for norm in proofs.NORMS)
        + "; n x d = "
        + ", ".join(f"{n} x {d}" for n, d in proofs.SHAPES)
        + "; answers given "
        + ", ".join(proofs.STORED)
        + "; points in float32 and float64. Of "
        f"{proofs.POINTS} points to be decided half are random, half lie between 1e-14 and 1 from the boundary. The "
        "bound on the norm is the teacher's own. False: a proved answer that is not the teacher's. Refused: "
        "students without a certificate, by an error.\n\n"
        "| answers computed in | points | proved | certificates | false | refused |\n|---|---|---|---|---|---|\n"
        f"{rows}\n{wrong}"
        "\nThe type is read off the numbers, whatever type they are held in. Two or three numbers of 4 bits in a "
        "longer type look exact: keep short floats in their type.\n\n"
    )


def determinism_of_files() -> str:
    """The same commands twice."""
    with tempfile.TemporaryDirectory() as folder:
        found = determinism.twice(Path(folder))
    rows = "".join(
        f"| {name} | {t.files} | {t.files - len(t.different)} | {', '.join(f'`{f}`' for f in t.different) or '-'} |\n"
        for name, t in found.items()
    )
    return (
        "## The same files again\n\n"
        "Each command run twice with the same seed on the same machine, with PYTHONHASHSEED 1 and 2, and, where "
        "it takes "
        "--jobs, with 1 and 2. Files compared byte for byte:\n\n"
        "| command | files | the same bytes | different |\n|---|---|---|---|\n" + rows + "\n"
        "Those that differ say how they were made: the command line, when it ran and how long it took.\n\n"
    )


def supplied() -> str:
    """The suite on the newest and on the lowest versions stated."""
    places = {"installed here": Path(sys.executable), "the floors": supply.LOWEST}
    found = {what: supply.suite(python) for what, python in places.items() if python.exists()}
    rows = "\n".join(f"| {what} | {suite.versions} | {suite.outcome} |" for what, suite in found.items())
    missing = "" if supply.LOWEST.exists() else "The floors were not installed: `make floors` does.\n\n"
    return (
        "## Supply\n\n"
        "Dependencies have floors and no ceilings (`pyproject.toml`). `make floors` installs every direct dependency "
        "at its floor, what these need in turn at the newest they accept, and runs this section: the suite without its "
        "browser tests. On the floors, deprecation warnings of other packages about one another are no errors.\n\n"
        f"| versions | | suite |\n|---|---|---|\n{rows}\n\n{missing}"
        "No command opens a connection but `reproduce --digits openml`, which fetches MNIST, `--scheduler tcp://...`, "
        "which speaks to the address given, and `explore`, which serves a page on this machine's loopback. "
        "`tests/test_reliability_supply.py` runs the others under an audit hook that forbids the network, and sees "
        "that the first would use it.\n\n"
    )


def loaded(rows: int = 10_000_000) -> str:
    """Many rows, many sparse features, many fits."""
    with tempfile.TemporaryDirectory() as folder:
        predict = load.predicted(rows, Path(folder))
    sparse, features = rows // 100, rows // 1000
    with tempfile.TemporaryDirectory() as folder:
        distill = load.distilled(sparse, features, Path(folder))
    fits = load.resident(FITS)
    lines = "\n".join(
        f"| {what} | {s.peak / 2**20:.0f} MiB | {s.seconds:.0f} s | {s.processor:.0f} s |"
        for what, s in (
            (
                f"`predict`, {rows:.0e} rows of {load.FEATURES} float32 features ({64 * rows / 1e6:.0f} MB)",
                predict,
            ),
            (
                f"`distill --text --alpha 1e-4`, {sparse:.0e} texts of {load.WORDS_A_ROW} words, {features:.0e} sparse "
                f"features (dense: {8 * sparse * features / 2**20:.0f} MiB)",
                distill,
            ),
        )
    )
    each = (fits[-1] - fits[0]) / (FITS - FITS // load.FIFTHS)
    return (
        "## Load\n\n"
        "Largest resident memory of the process, imports included; time on the clock, on a machine that others used "
        "too; processor time of all threads.\n\n"
        f"| command | memory | clock | processor |\n|---|---|---|---|\n{lines}\n\n"
        f"{FITS} fits in one process (alpha 0, 0.1 and by leave-one-out, dense and sparse, in turn): "
        f"{fits[0] / 2**20:.1f} MiB resident after {FITS // load.FIFTHS}, {fits[-1] / 2**20:.1f} MiB after {FITS}, "
        f"that is {each:.0f} bytes a fit.\n\n"
        "`--alpha loo` factorises min(rows, features) coordinates, and refuses sparse points with more than 4,000.\n\n"
    )


SECTIONS = {
    "bad-inputs": bad_inputs,
    "hostile-files": hostile_files,
    "numerical-soundness": numerical_soundness,
    "proofs": proved,
    "determinism": determinism_of_files,
    "kills": killed,
    "disks": hindered,
    "supply": supplied,
    "load": loaded,
}
