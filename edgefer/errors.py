"""Every error a user can cause: what is wrong, what to do about it, and the exit code of the command line."""

from __future__ import annotations


class EdgeferError(Exception):
    """Base of all errors raised on purpose. `str(error)` says what is wrong, `error.hint` what to do."""

    exit_code = 3

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[type[EdgeferError], tuple[str, str]]:
        # Exceptions pickle their first argument only; worker processes must not lose the hint.
        return type(self), (str(self), self.hint)


class UsageError(EdgeferError):
    """Arguments that contradict each other or make no sense together."""

    exit_code = 2


class ImageError(EdgeferError):
    """An image that cannot be used: not an image, damaged, too large, wrong type or shape."""


class CheckpointError(EdgeferError):
    """A checkpoint that is damaged or is not a ResEmoteNet."""


class ArtifactError(EdgeferError):
    """An artifact that is damaged, was edited, or has a schema this version does not read."""


class DataError(EdgeferError):
    """A data set that is incomplete, damaged or not in a form we read."""


class UnavailableError(EdgeferError):
    """Something this machine does not have: a package, a provider, a device."""

    exit_code = 4


class ParityError(EdgeferError):
    """An artifact that predicts differently from its checkpoint."""

    exit_code = 5
