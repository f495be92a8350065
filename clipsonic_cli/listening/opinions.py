"""Mean opinion scores of a listening test as a table, next to the paper's Tables 3 and 4."""

from collections.abc import Sequence
from itertools import product

from clipsonic_cli.evaluation.results import heading
from clipsonic_cli.listening.ratings import QUESTIONS, Mean, OpinionScore
from clipsonic_cli.report import paper
from clipsonic_cli.report.tables import NONE, PAPER, Table, without_blanks
from clipsonic_cli.types import Note


def opinion_table(scores: Sequence[OpinionScore]) -> Table:
    """Build a table of mean opinion scores and those of the paper's tables 3 and 4."""
    scores = list(scores)
    datasets = (*paper.DATASETS, "ImageHear")
    if any(score.system.split(" ")[0] == "iq" for score in scores):  # images, as in Table 4
        for name, question in product(paper.BASELINES, QUESTIONS):
            scores.append(OpinionScore(system=name, question=question, ratings=None, raters=None))
    names = {heading(mode, paper.W): mode for mode in paper.TABLE_1}
    names |= {name: name for name in ("truth", *paper.BASELINES)}
    rows = []
    for score in scores:
        name = names.get(score.system, "")
        numbers = (paper.OPINIONS.get((name, data), {}).get(score.question) for data in datasets)
        texts = (NONE if pair is None else "{:.2f} ± {:.2f}".format(*pair) for pair in numbers)
        means = (*_shown(score.ratings), *_shown(score.raters))
        rows.append((score.system, score.question, *means, *texts))
    columns = ("system", "question", "MOS", "ratings", "MOS over raters", "raters")
    table = Table(
        title="Listening test: mean opinion scores, 1 to 5, with 95 % confidence intervals",
        columns=(*columns, *(f"{PAPER}{data}" for data in datasets)),
        rows=tuple(sorted(rows, key=lambda row: QUESTIONS.index(row[1]))),
    )
    return without_blanks(
        table, Note("The paper's are of 21 raters, of other sounds: tables 3 and 4.", rank=3)
    )


def _shown(mean: Mean | None) -> tuple[str, str]:
    """Format a mean with its interval, and its number of values."""
    if mean is None:
        return NONE, NONE
    spread = "" if mean.half_width is None else f" ± {mean.half_width:.2f}"
    return f"{mean.value:.2f}{spread}", f"{mean.n}"
