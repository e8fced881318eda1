"""Mutated inputs end in a result or in an error of this package that names the file."""

from __future__ import annotations

import warnings

import pytest
from fuzzing.subjects import EXAMPLES, SUBJECTS
from fuzzing.trial import attempt

import bulklmm_dask as blmm
from bulklmm_dask.study.readers.registry import READERS

READING = [name for name in SUBJECTS if name.rpartition(" ")[0] in READERS]
QUICK, FEW, MANY = 15, 4, 300
# Errors about what several files say together need not name one.
LEAST_NAMED = 0.9


def test_every_format_of_the_registry_has_an_example():
    assert set(EXAMPLES) == set(READERS), "a new format needs a small valid input in fuzzing"
    for name, examples in EXAMPLES.items():
        given = {flag for _, _, arguments in examples.values() for flag in arguments}
        assert given <= set(READERS[name].options)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_valid_input_is_used_without_an_error(subject, tmp_path):
    SUBJECTS[subject].write(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blmm.StudyWarning)
        SUBJECTS[subject].use(tmp_path)


def check(subject, tries):
    found = [attempt(subject, seed) for seed in range(tries)]
    foreign = [one for one in found if one.kind == "foreign"]
    assert not foreign, f"{foreign[0].subject}, seed {foreign[0].seed}: {foreign[0].what}"
    assert tries <= FEW or {one.kind for one in found} != {"ok"}, "no mutation did any harm"
    if subject not in READING:
        return
    named = sum(one.names_file for one in found) / len(found)
    assert named >= LEAST_NAMED, [one.what for one in found if not one.names_file]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_mutated_inputs(subject):
    check(subject, QUICK if subject in READING else FEW)


@pytest.mark.slow
@pytest.mark.parametrize("subject", READING)
def test_many_mutated_inputs_of_readers(subject):
    check(subject, MANY)
