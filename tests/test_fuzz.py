"""Mutated inputs end in a result or in an error of this package that names the file."""

from __future__ import annotations

import warnings

import pytest
from fuzzing.readers import EXAMPLES, READING
from fuzzing.subjects import SUBJECTS
from fuzzing.trial import attempt

import bulklmm_dask as blmm
from bulklmm_dask.study.readers.registry import READERS

CHEAP = [name for name in SUBJECTS if name in READING or name.startswith(("create", "table"))]
DEAR = [name for name in SUBJECTS if name not in CHEAP]
# Tries of a subject: always, of a dear one, and of all the examples of one reader together.
QUICK, FEW, MANY = 12, 2, 240
# Errors about what several files say together need not name one.
LEAST_NAMED = 0.9


def test_every_format_of_the_registry_has_an_example():
    assert set(EXAMPLES) == set(READERS), "a new format needs a small valid input in fuzzing"
    for name, examples in EXAMPLES.items():
        given = {flag for _, _, arguments in examples.values() for flag in arguments}
        assert given <= set(READERS[name].options)


def check(subject, tries):
    found = [attempt(subject, seed) for seed in range(tries)]
    foreign = [one for one in found if one.kind == "foreign"]
    assert not foreign, f"{foreign[0].subject}, seed {foreign[0].seed}: {foreign[0].what}"
    if subject not in READING:
        return
    assert {one.kind for one in found} != {"ok"}, "no mutation did any harm"
    named = sum(one.names_file for one in found) / len(found)
    assert named >= LEAST_NAMED, [one.what for one in found if not one.names_file]


def check_valid(subject, folder):
    SUBJECTS[subject].write(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        SUBJECTS[subject].use(folder)


@pytest.mark.parametrize("subject", CHEAP)
def test_valid_and_mutated_inputs(subject, tmp_path):
    check_valid(subject, tmp_path)
    check(subject, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("subject", DEAR)
def test_valid_and_mutated_inputs_of_dear_subjects(subject, tmp_path):
    check_valid(subject, tmp_path)
    check(subject, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("subject", READING)
def test_many_mutated_inputs_of_readers(subject):
    reader = subject.rpartition(" ")[0]
    check(subject, MANY // sum(name.startswith(f"{reader} ") for name in READING))
