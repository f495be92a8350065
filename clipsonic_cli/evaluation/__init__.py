"""The paper's evaluation: what is compared with what, and the tables that come out.

Knows: what a model is asked and what its sounds are compared with, the questions of the listening
test, and how scores become tables. Does not know: how a score is computed from sounds
(``metrics/``), nor how a table is shown.
"""
