"""Messages of worker processes in the words of the surface that the user has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from distributed import Client, Worker, WorkerPlugin

from bulklmm_dask.surface import command_line, either


class CommandWords(WorkerPlugin):
    """Lets the tasks of a worker name options of commands, as long as it is registered."""

    name = "bulklmm-command-words"

    def setup(self, worker: Worker) -> None:
        """Begin, on a worker that runs or one that joins later."""
        self._words = ExitStack()
        self._words.enter_context(command_line())

    def teardown(self, worker: Worker) -> None:
        """End."""
        self._words.close()


@contextmanager
def words_of_this_process(client: Client) -> Iterator[None]:
    """Give the workers of a client the words of this process, inside the ``with`` block."""
    if not either("", "command"):
        yield
        return
    client.register_plugin(CommandWords())
    try:
        yield
    finally:
        if client.status == "running":
            with suppress(OSError):  # workers end meanwhile, or the scheduler
                client.unregister_worker_plugin(CommandWords.name)
