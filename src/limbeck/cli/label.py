"""``limbeck label``: buy answers of a program one batch at a time, losing none."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import _agreement as agreement
from limbeck.cli import _answers as spoken
from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli._console import Line, fail, messages, tell
from limbeck.cli.plan import Confidence, Price, TargetRisk, check_wishes, student_of
from limbeck.records import UserError, check_replaceable

if TYPE_CHECKING:
    import numpy as np

    from limbeck.budget.loop import BudgetedDistillation
    from limbeck.budget.purchase import Bought
    from limbeck.data.pool import Pool
    from limbeck.data.tables import Table
    from limbeck.students import SoftLabelClassifier

EPILOG = """Example:

\b
  limbeck label pool.csv --features 'emb_*' --send review \\
      --teacher-command 'python ask.py' --budget 500 --price 0.002 \\
      --target-risk 0.02 --out bought

The program reads one question a line and writes one answer a line, flushed, in any order:

\b
  {"id": "r7", "x": [0.1, ...], "review": "..."}
  {"id": "r7", "probabilities": 0.9}   or [...], or {"ham": ..., "spam": ...}

log_probabilities and logits likewise. {"id": "r7", "refusal": "why"} is an answer that will not come, {"id": "r7",
"error": "why"} one to ask for again later, {"id": "r7", "retry_after": 20} a question that was put off (rate limit):
it is sent again after 20 seconds and not counted.

A folder takes the answers of one teacher: the same CMD and --send. CMD is stored in no file, only its fingerprint. Pass
keys to the program in environment variables, not in CMD.

The same command goes on after a kill; with a larger --budget it extends a finished run, with an audit sample of its
own. In the folder: asked.jsonl and replies.jsonl (what was paid for), answers.csv, student.json, report.html.

\b
Another student from the same answers:
  limbeck distill pool.csv --features 'x*' --answers bought/answers.csv \\
      --out student.json"""


OUTPUTS = ("answers.csv", "student.json", "report.html")


def label(
    table: options.TableArgument,
    teacher_command: Annotated[
        str, typer.Option(metavar="CMD", help="Program that answers; split like a shell would, run without one.")
    ],
    budget: Annotated[
        int, typer.Option(min=2, metavar="N", help="Questions to send at most, retries and earlier runs included.")
    ],
    target_risk: TargetRisk,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything bought is kept.")],
    confidence: Confidence = 0.95,
    price: Price = None,
    features: options.FeatureGlobs = None,
    embedding: options.Embedding = None,
    text: options.Text = None,
    vocabulary: options.Vocabulary = 4000,
    identifier: options.Identifier = None,
    send: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB", help="Other columns to send with each question, such as review or 'meta_*'. Repeatable."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Names of the classes, in the order of the numbers of an answer; of a single number, the second's.",
            show_default="as the first answer that names them, or 0, 1, ...",
        ),
    ] = None,
    audit: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Audit answers, bought first.", show_default="as needed")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Answers a batch.", show_default="a tenth")
    ] = None,
    select: Annotated[str, typer.Option(help="Which points next: span or random.")] = "span",
    repeat: Annotated[
        int, typer.Option(min=0, metavar="K", help="Audit rows to ask twice, to measure a noisy teacher.")
    ] = 0,
    in_flight: Annotated[int, typer.Option(min=1, metavar="K", help="Questions out at a time.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="S", help="Seconds of silence that mean it hangs.")] = 60.0,
    retries: Annotated[int, typer.Option(min=0, metavar="K", help="Times a failed question is sent again.")] = 3,
    backoff: Annotated[float, typer.Option(min=0.0, metavar="S", help="Seconds before; doubled each time.")] = 1.0,
    ask_again: Annotated[
        bool,
        typer.Option("--ask-again", help="Send again what was in flight when a run was killed; it may be paid twice."),
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Buy although the audit sample cannot show the target.")
    ] = False,
    scale: options.Scale = "none",
    alpha: options.Ridge = "loo",
    intercept: Annotated[bool, typer.Option(help="Whether to learn an intercept.")] = True,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:  # fmt: skip
    """Buy an audit sample, then batch after batch, until the student is shown good enough or the budget is spent."""
    check_wishes(target_risk, confidence, price)
    student = student_of(alpha, intercept)
    options.check_scale(scale)
    if select not in ("span", "random"):
        raise UserError(f"--select {select}: span or random.")
    from limbeck.budget.asking import Manners
    from limbeck.budget.ledger import READERS
    from limbeck.budget.loop import BudgetedDistillation
    from limbeck.budget.teachers import ProgramTeacher
    from limbeck.data.pool import read_pool
    from limbeck.data.tables import same_rows

    points = options.open_points(table)
    identifier = options.identifier_of(points, identifier)
    taken = {identifier: "ids"} if identifier else {}
    chosen = options.features_of(points, features, embedding, text, taken=taken)
    teacher = ProgramTeacher(teacher_command)
    sent = _sent(points, send, identifier) if send else []
    same_rows(points, [*chosen.needed, *taken, *sent])
    columns = _columns(points, sent) if sent else None
    _check_outputs(out)
    pool = read_pool(points, chosen, identifier, most_terms=vocabulary)
    facts = provenance.sources(
        {"points": table},
        secret=teacher_command,
        **{"teacher's command, SHA-256": teacher.fingerprint, "scale": scale, "seed": str(seed)},
    )
    try:
        buy = BudgetedDistillation(
            teacher,
            budget=budget,
            target_risk=target_risk,
            confidence=confidence,
            price=price,
            audit=audit,
            batch=batch,
            select=select,
            repeat=repeat,
            student=student,
            scale=scale,
            classes=options.names_of(classes),
            manners=Manners(in_flight, timeout, retries, backoff),
            ask_again=ask_again,
            seed=seed,
        )
        _check_shows(buy, out, anyway)
        out.mkdir(parents=True, exist_ok=True)

        def watch(step: str, shown: Any) -> None:
            if step == "bought":
                _write_answers(shown, pool, identifier, out)
            else:
                _watch(step, shown)

        bought = buy.run(pool.X, folder=out, ids=list(pool.ids), columns=columns, watch=watch)
        rows = [*bought.audit, *bought.learned]
        if rows:
            said = bought.said[:, 0] if bought.said.shape[-1] == 1 else bought.said
            options.warn_of_deciding(pool.X[rows], READERS[bought.kind](said), pool.features)
        _keep(bought, buy, pool, out, facts)
    except (ValueError, ArithmeticError) as error:
        raise UserError(f"{options.in_options(error)}{_kept(out)}") from error
    except OSError as error:
        raise UserError(
            f"{error.filename or out}: {error.strerror or error}.{_kept(out)} Once that is put right, the same command "
            "goes on."
        ) from error
    except KeyboardInterrupt:
        fail(f"Interrupted.{_kept(out)} The same command goes on.", 130)
    saved = None if bought.student is None else out / "student.json"
    tell(
        [*spoken.wordless(pool.features, pool.X), *_lines(bought, target_risk, out, list(pool.ids))],
        {**vars(bought), "student": saved, "out": out},
        as_json,
    )


def _kept(out: Path) -> str:
    """That nothing is lost, where there is something to lose."""
    asked = out / "asked.jsonl"
    return f" What was bought is kept in {out}." if asked.is_file() and asked.stat().st_size else ""


def _check_outputs(out: Path) -> None:
    for name in OUTPUTS:
        if (out / name).is_file() and not (out / "run.json").exists():
            raise UserError(
                f"{out / name} was not written by a purchase in {out}, which has no run.json: it would be overwritten. "
                "Move it, or choose another --out."
            )
        if (out / name).is_dir():
            raise UserError(
                f"{out / name} is a folder, where a file is to be written: move it, or choose another --out."
            )
        check_replaceable(out / name)
        provenance.will_write(out / name)


def _check_shows(buy: BudgetedDistillation, out: Path, anyway: bool) -> None:
    """Refuse to spend all on a target that cannot be shown."""
    *earlier, stage = buy.stages(out)
    least = buy.least_shown_by(stage)
    if least <= buy.target_risk:
        return
    before = earlier[-1].budget if earlier else 0
    audit, questions = buy.enough(stage.budget - before)
    own = f" of its own (the run in {out} is extended)" if earlier else ""
    said = f"An audit sample of {stage.audit}{own} shows at best {least:.2%}, not {buy.target_risk:.2%}: "
    if not anyway:
        raise UserError(
            f"{said}the whole budget would be spent, and the target not shown. It takes --audit {audit} and "
            f"--budget {before + questions}, or more; or --anyway, to buy all the same."
        )
    messages().print(f"{said}buying will not stop before the budget is spent.")


def _watch(step: str, shown: Any) -> None:
    if step == "warning":
        messages().print(f"warning: {shown['warning']}. Buying goes on; no answer is lost.")
    elif step == "look":
        look = shown["look"]
        money = (
            f", spent {shown['money spent']:,.2f}, left {shown['money left']:,.2f}"
            if "money spent" in shown
            else ""
        )
        more = shown["likely"] is not None and shown["likely"] > shown["learned"]
        likely = f"; half likely at {shown['likely']} answers" if more else ""
        uncovered = (
            f" ({shown['uncovered']} audit rows without an answer not covered)"
            if "uncovered" in shown
            else ""
        )
        messages().print(
            f"look {look['number']}: {shown['learned']} learned from, {look['wrong']} of {look['size']} wrong, risk at "
            f"most {look['upper']:.2%}{uncovered}{likely}; {shown['spent']} questions sent{money}"
        )


def _sent(points: Table, patterns: list[str], identifier: str | None) -> list[str]:
    """Columns that --send names, each once; a pattern that matches none stays, and reading refuses it."""
    from limbeck.data.tables import matching

    found = [name for pattern in patterns for name in matching(points, pattern) or [pattern]]
    return [name for name in dict.fromkeys(found) if name != identifier]


def _columns(table, names: list[str]) -> list[dict[str, Any]]:
    from limbeck.data.tables import read

    rows: list[dict[str, Any]] = []
    for chunk in read(table, names):
        values = [chunk.columns[name].to_pylist() for name in names]
        rows += [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return rows


def _write_answers(bought: Mapping[str, Any], pool: Pool, identifier: str | None, out: Path) -> None:
    """answers.csv, whole: what was bought so far."""
    from limbeck.data.pool import ROW
    from limbeck.data.results import harmless
    from limbeck.records import write_whole

    rows = [*bought["audit"].tolist(), *bought["learned"].tolist()]
    names, said = _columns_of(bought["kind"], bought["said"], bought["classes"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([ROW if identifier is None else "id", "audit", *names])
    for at, row in enumerate(rows):
        writer.writerow(
            [
                harmless(str(pool.ids[row])),
                int(at < len(bought["audit"])),
                *(repr(float(v)) for v in said[at]),
            ]
        )
    write_whole(out / "answers.csv", text.getvalue())


def _keep(bought: Bought, buy: BudgetedDistillation, pool: Pool, out: Path, facts: dict[str, str]) -> None:
    """student.json and report.html, each whole."""
    from limbeck.pages.label import page
    from limbeck.report import write
    from limbeck.students import save

    if bought.student is not None:
        save(
            _named(bought),
            out / "student.json",
            provenance=facts,
            features={"table": pool.features.to_json(), "scale": buy.scale},
        )
    try:
        write(page(bought, buy, facts), out / "report.html")
    except OSError:
        raise
    except Exception as error:  # no picture is worth the end of a run that was paid for
        messages().print(f"warning: report.html could not be made: {type(error).__name__}: {error}.")


KINDS = {"probabilities": "probability", "log_probabilities": "log_probability", "logits": "logit"}
UNNAMED = ("0", "1")


def _columns_of(kind: str, said: np.ndarray, classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Columns of answers.csv and their values; one a class where the classes have names, if it reads the same."""
    from limbeck.budget.kept import both_classes

    name = f"teacher_{KINDS[kind]}"
    if said.shape[1] == 1:
        named = len(classes) == 2 and tuple(classes) != UNNAMED
        both = both_classes(kind, said[:, 0]) if named else None
        if both is None:
            return [name], said
        said = both
    return [f"{name}_{c}" for c in classes], said


def _names_lost(bought: Bought) -> bool:
    """Whether answers.csv cannot say what the classes are called."""
    if bought.answers is None or bought.classes == UNNAMED:
        return False
    return len(_columns_of(bought.kind, bought.said, bought.classes)[0]) == 1


def _named(bought: Bought) -> SoftLabelClassifier:
    """The student with the teacher's names for its classes."""
    from copy import copy

    import numpy as np

    student = copy(bought.student)
    assert student is not None
    student.classes_ = np.array(bought.classes, dtype=object)
    return student


def _lines(bought: Bought, target: float, out: Path, names: Sequence[Any]) -> Iterator[Line]:
    from limbeck.pages.label import shortfall, uncovered

    if bought.shown is not None:
        look = bought.shown
        yield "student", f"wrong on {look.wrong} of {look.size} audit points, risk at most {look.upper:.2%}"
        if len(bought.uncovered):
            yield "uncovered", uncovered(bought, names)
        if not look.stop:
            yield "target", shortfall(bought, target)
    if bought.tally is not None:
        yield from agreement.beside(bought.tally, bought.classes)
    if bought.linearity is not None:
        yield "teacher", f"{bought.linearity.verdict} here: {bought.linearity.reason}"
    if bought.noise is not None:
        flips = bought.noise.flips
        yield "noise", f"{flips.estimate:.2%} of {flips.size} rows decided otherwise when asked again"
    money = "" if bought.price is None else f", at most {bought.spent * bought.price:,.2f}"
    yield "spent", f"{bought.spent} of {bought.budget} questions{money}; ended: {bought.reason}"
    trouble = ", ".join(f"{count} {name}" for name, count in sorted(bought.counts.items()) if name != "asked")
    if trouble:
        yield "trouble", trouble
    if _names_lost(bought):
        yield (
            "answers",
            f"answers.csv holds a number a row: name the classes again, --classes {','.join(bought.classes)}, to learn "
            "from it (a column a class would not read the same to the last digits)",
        )
    yield "kept in", out
