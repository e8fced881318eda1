"""Errors and warnings of the package; each quotes the offending value and names a remedy."""


class InputError(ValueError):
    """What was handed in cannot be used: a file, an array, a name or an option."""


class StoreError(RuntimeError):
    """A Zarr store cannot be read, written or resumed."""


class StudyWarning(UserWarning):
    """Something was dropped, filled in or reinterpreted; the text counts and names it."""
