"""Errors and warnings of the package; each quotes the offending value and names a remedy."""

from __future__ import annotations

from bulklmm_dask.text import message


class InputError(ValueError):
    """An input cannot be used: a file, an array, a name or an option.

    Examples
    --------
    It is a ``ValueError``; the command line shows the same text.

    >>> try:
    ...     blmm.scan(ds, method="exact")
    ... except blmm.InputError as error:
    ...     print(error)
    unknown method 'exact'; choose one of null-exact, null-grid, alt-exact, alt-grid
    """

    def __init__(self, words: object = "") -> None:
        super().__init__(message(words))


class OptionError(InputError):
    """An option has no value that it may have, or options exclude or need each other.

    The text names all of them. On the command line its exit code is that of a command line that
    cannot be understood.
    """


class StoreError(RuntimeError):
    """A Zarr store cannot be read, written or resumed.

    Examples
    --------
    >>> try:
    ...     blmm.open_result("scan.zarr")
    ... except blmm.StoreError as error:
    ...     print(error)
    there is no result store scan.zarr; scan(..., store=path) or permute(..., store=path) makes one
    """

    def __init__(self, words: object = "") -> None:
        super().__init__(message(words))


class ClusterError(RuntimeError):
    """The workers of a cluster, or its scheduler, were lost; finished blocks are kept.

    Examples
    --------
    The same call goes on from the finished blocks, once there is a cluster again:

    >>> error = blmm.ClusterError("the connection to the scheduler at tcp://host:8786 is lost")
    >>> isinstance(error, RuntimeError)
    True
    """

    def __init__(self, words: object = "") -> None:
        super().__init__(message(words))


class StudyWarning(UserWarning):
    """Something was dropped, filled in or reinterpreted; the text counts and names it.

    Examples
    --------
    A missing genotype is filled in when the study is scanned, and whoever makes the study is told:

    >>> import warnings
    >>> genotypes = pd.DataFrame({"m1": [0, 1, 2], "m2": [0, None, 2]}, index=["a", "b", "c"])
    >>> weights = pd.DataFrame({"weight": [20.1, 22.5, 19.8]}, index=["a", "b", "c"])
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", blmm.StudyWarning)
    ...     study = blmm.create_dataset(genotypes, weights)
    >>> print(caught[0].message)
    1 of 6 genotypes at 1 variants are missing; each is filled with its marker's mean in the scan

    ``warnings.simplefilter("error", blmm.StudyWarning)`` makes errors of all of them.
    """
