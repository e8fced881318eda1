"""Texts of `bulklmm help TOPIC`: what holds for all commands."""

from __future__ import annotations

# Topic -> its title and its text.
TOPICS = {
    "exit-codes": (
        "What a command says by its exit code.",
        """
    0   done; also where a run was complete already
    1   something is wrong: an input or a store that cannot be used, or a cluster that is lost
    2   the command line cannot be understood, or options exclude each other
  130   stopped by Ctrl-C
  143   stopped by SIGTERM, as batch systems send it

After 130 and 143 the same command goes on from what is finished, where it writes a store.""",
    ),
    "output": (
        "Standard output, standard error, --quiet and --json.",
        """
Results go to standard output; notes, progress and errors to standard error.

  --quiet   says nothing but errors
  --json    prints one object instead of results, on one line: command, what was done with its
            counts, files, notes and seconds; with every exit code but 0 also error
  --out -   writes a table to standard output, also where it would be aligned for a terminal

With 'bulklmm info --follow --json' each look is an object on a line.""",
    ),
    "tables": (
        "Formats of tables, by the end of their names.",
        """
  .csv, .txt   commas between fields
  .tsv         tabs
  .gz .bz2 .xz .zst   behind one of these: compressed
  .parquet     Parquet, which needs pyarrow; of 'bulklmm hits' a folder of files

Columns have a fixed order. Numbers have 12 significant digits at most, those that are stored in
single precision the digits of that. Commands that read tables take the same formats.""",
    ),
    "threads": (
        "Threads, worker processes and memory.",
        """
Threads of a command: --threads, else the first of these that is set:

  SLURM_CPUS_PER_TASK, OMP_NUM_THREADS, DASK_NUM_WORKERS
  the quota of the cgroup (version 1 or 2), if it is less than
  the processors that the process may use

--workers N starts worker processes, which share the threads. Each has the memory of --memory, else
an equal share of the least of SLURM_MEM_PER_NODE (or SLURM_MEM_PER_CPU times the processors), the
limit of the cgroup, and the machine. Blocks fit into that, also on threads of the command itself.
--scheduler uses a running Dask scheduler.

What is used, and what says so, is the first line on standard error, unless that is all of the
machine; scans say that too.""",
    ),
}
