"""Damaged and hostile files end in one line, within bounds of memory and time."""

import os
import shutil
import sys
from collections import Counter

import pytest
from harness import Runner

CASES = int(os.environ.get("FUZZ_CASES", "5000"))
ONLY = os.environ.get("FUZZ_ONLY", "")
"""One case to repeat: its reader and its seed, as "READER:SEED"; or a reader, all of whose are."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does"),
]


def test_whatever_is_in_a_file_it_is_read_or_explained(micro, tmp_path):
    models = shutil.copytree(micro, tmp_path / "model")
    runner = Runner("readers", models, tmp_path / "fuzz")
    names = runner.readers()
    wanted, _, seed = ONLY.partition(":")
    names = [name for name in names if wanted in ("", name)]
    cases = sorted((names[n % len(names)], n // len(names)) for n in range(CASES))
    if seed:
        cases = [(wanted, int(seed))]
    done = runner.run(cases)
    for name in names:
        own = [case for case in done if case.reader == name]
        sys.stdout.write(
            f"\n{name}: {len(own)} cases, {dict(Counter(case.outcome for case in own))}, "
            f"{max((c.memory for c in own), default=0) / 1e6:.0f} MB, "
            f"{max((c.seconds for c in own), default=0):.2f} s"
        )
    faults = [case for case in done if case.fault is not None]
    for case in faults:
        sys.stdout.write(f"\n\nFUZZ_ONLY='{case.reader}:{case.seed}'\n{case.fault}")
    assert len(done) == len(cases)
    assert not faults, f"{len(faults)} faults; files in {tmp_path / 'fuzz' / 'faults'}"
