import io

import pytest
from rich.console import Console as RichConsole

from clipsonic_cli.cli.console import Bars
from clipsonic_cli.cli.generate.make import Progress, ordinal


def test_ranks_are_ordinals():
    ranks = {1: "best", 2: "2nd best", 3: "3rd best", 4: "4th best", 11: "11th best"}
    ranks |= {12: "12th best", 13: "13th best", 21: "21st best", 22: "22nd best", 112: "112th best"}
    assert {place: ordinal(place) for place in ranks} == ranks


def drawn(total, *, done, batch, stages):
    console = RichConsole(file=io.StringIO(), force_terminal=True, width=80)
    progress = Progress(Bars(console, "", shown=True), total)
    progress.done, progress.batch = done, batch
    with progress.bars as bars:
        for stage in stages:
            progress(*stage)
        bars.refresh()
        return [(task.description, task.completed, task.total) for task in bars.tasks]


def test_several_sounds_have_one_bar_that_moves_with_every_step():
    stages = [("prior", 1, 64), ("sample", 3, 12), ("vocode", 0, 1)]
    assert drawn(8, done=4, batch=2, stages=stages) == [("sounds", 4.5, 8)]


@pytest.mark.parametrize("stages", [[("prior", 1, 64), ("sample", 3, 12)]])
def test_one_sound_has_a_bar_for_every_stage(stages):
    assert drawn(1, done=0, batch=1, stages=stages) == stages
