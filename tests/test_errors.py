"""Errors keep message, hint and exit code, also on the way out of a worker process."""

from __future__ import annotations

import copy
import pickle

import pytest

import edgefer
from edgefer import errors

# DESIGN, command line: 2 usage, 3 bad input (file, image, checkpoint, data set), 4 not available, 5 parity failed.
CODES = {
    "EdgeferError": 3,
    "UsageError": 2,
    "ImageError": 3,
    "CheckpointError": 3,
    "ArtifactError": 3,
    "DataError": 3,
    "UnavailableError": 4,
    "ParityError": 5,
}


def test_every_error_is_listed_here_and_exported() -> None:
    """A new kind of error needs an exit code that somebody chose."""
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(CODES)
    assert found <= set(edgefer.__all__)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_message_hint_and_exit_code_survive_pickling(name: str, code: int) -> None:
    kind = getattr(edgefer, name)
    error = kind("it broke.", "mend it.")
    assert isinstance(error, edgefer.EdgeferError)
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(one) is kind
        assert (str(one), one.hint, one.exit_code) == ("it broke.", "mend it.", code)


def test_a_hint_is_not_optional() -> None:
    with pytest.raises(TypeError):
        errors.EdgeferError("it broke.")  # type: ignore[call-arg]
