"""Mean opinion scores of a listening test as a table, next to the paper's Tables 3 and 4."""

from collections.abc import Sequence

from clipsonic_cli.evaluation.results import heading
from clipsonic_cli.listening.ratings import QUESTIONS, Mean, OpinionScore
from clipsonic_cli.report import paper
from clipsonic_cli.report.tables import NONE, PAPER, Table, without_blanks


def opinion_table(scores: Sequence[OpinionScore]) -> Table:
    """Build a table of mean opinion scores and those of the paper's tables 3 and 4."""
    paper_scores = {**paper.TABLE_3, **paper.TABLE_4}
    datasets = (*paper.DATASETS, "ImageHear")
    if any(score.system.split(" ")[0] == "iq" for score in scores):  # images, as in Table 4
        scores = [*scores, *_baselines()]
    modes = {heading(mode, paper.W): mode for mode in paper.TABLE_1} | {"truth": "truth"}
    modes |= {name: name for name in paper.BASELINES}
    rows = []
    for score in scores:
        own = paper_scores.get(modes.get(score.system, ""), {})
        numbers = (own.get(data, {}).get(score.question) for data in datasets)
        rows.append(
            (
                score.system,
                score.question,
                _opinion(score.ratings),
                NONE if score.ratings is None else f"{score.ratings.n}",
                _opinion(score.raters),
                NONE if score.raters is None else f"{score.raters.n}",
                *(NONE if o is None else f"{o.value:.2f} ± {o.half_width:.2f}" for o in numbers),
            )
        )
    columns = ("system", "question", "MOS", "ratings", "MOS over raters", "raters")
    return without_blanks(
        "Listening test: mean opinion scores, 1 to 5, with 95 % confidence intervals",
        (*columns, *(f"{PAPER}{data}" for data in datasets)),
        sorted(rows, key=lambda row: QUESTIONS.index(row[1])),
        about_paper="The paper's are of 21 raters, of other sounds: tables 3 and 4.",
    )


def _baselines() -> list[OpinionScore]:
    """Return scores without ratings for the systems that the paper alone compares with."""
    return [
        OpinionScore(system=name, question=question, ratings=None, raters=None)
        for name in paper.BASELINES
        for question in QUESTIONS
    ]


def _opinion(mean: Mean | None) -> str:
    if mean is None:
        return NONE
    return f"{mean.value:.2f}" + ("" if mean.half_width is None else f" ± {mean.half_width:.2f}")
