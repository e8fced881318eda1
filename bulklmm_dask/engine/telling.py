"""Warnings of tasks, which reach the user wherever the task runs."""

from __future__ import annotations

import sys

from bulklmm_dask.errors import StudyWarning
from bulklmm_dask.study.warn import say


def tell(message: str) -> None:
    """Issue a StudyWarning; on a worker of a cluster, in the program of the user too."""
    distributed = sys.modules.get("distributed")  # imported on every worker
    try:
        if distributed is not None:
            distributed.get_worker()
            distributed.warn(message, StudyWarning)
            return
    except ValueError:  # this is no worker
        pass
    say(message)
