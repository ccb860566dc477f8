"""What fuzzing kept and found: each file goes through its target again."""

import pytest

from tests.fuzz.targets import FOLDER, TARGETS, corpus

CASES = [pytest.param(name, path, id=f"{name}/{path.name}") for name in TARGETS for path in corpus(name)]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_a_kept_input_meets_only_documented_errors(name, path):
    TARGETS[name](path.read_bytes())


def test_every_corpus_has_a_target():
    assert {folder.name for folder in FOLDER.iterdir()} == set(TARGETS)
