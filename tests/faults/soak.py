"""Faults at random, for as long as wanted: ``make soak``.

A command is disturbed once, at a random moment, and then repeated until it is done. Its answer must
be that of the command that nothing disturbed, byte for byte.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from faults.machines import Machines, Running, content, leftovers, wait_for
from faults.networks import Network, network, unusable

SIZES = ["--traits", "200", "--variants", "1200", "--samples", "80", "--strains", "40"]
SCAN = ["--method", "alt-exact", "--chunks", "40,50"]
PERMUTE = ["--permutations", "2000", "--seed", "1"]
WORKERS = ["--workers", "2", "--threads", "1"]
# Seconds: longest time without network or processor; patience of connections, and of a run without
# workers.
LONGEST, DEAD, WAIT = 25.0, ("11s", "300s"), "10s"
# Exit codes of commands: done, an error of ours, and stopped by Ctrl-C, SIGTERM or SIGKILL.
CODES = {0, 1, 130, 143, -signal.SIGKILL}


@dataclass
class Trial:
    """A command that runs, and what it runs on."""

    command: Running
    nannies: list[Running]
    scheduler: Running | None
    net: Network | None
    random: random.Random

    def workers(self) -> list[psutil.Process]:
        """Worker processes."""
        owners = self.nannies or [self.command]
        return [worker for owner in owners for worker in owner.workers()]

    def pause(self) -> None:
        """Wait for a random time."""
        time.sleep(self.random.uniform(1, LONGEST))


def kill_worker(trial: Trial) -> None:
    """Kill one worker."""
    for worker in trial.workers()[:1]:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


def kill_workers(trial: Trial) -> None:
    """Kill all workers."""
    for worker in trial.workers():
        with suppress(psutil.NoSuchProcess):
            worker.kill()


def freeze_worker(trial: Trial) -> None:
    """Stop one worker for a while."""
    for worker in trial.workers()[:1]:
        with suppress(psutil.NoSuchProcess):
            worker.suspend()
            trial.pause()
            worker.resume()


def freeze_scheduler(trial: Trial) -> None:
    """Stop the scheduler for a while."""
    assert trial.scheduler is not None
    trial.scheduler.send(signal.SIGSTOP)
    trial.pause()
    trial.scheduler.send(signal.SIGCONT)


def kill_scheduler(trial: Trial) -> None:
    """Kill the scheduler."""
    assert trial.scheduler is not None
    trial.scheduler.send(signal.SIGKILL)


def kill_client(trial: Trial) -> None:
    """Kill the command."""
    trial.command.send(signal.SIGKILL)


def terminate(trial: Trial) -> None:
    """Send SIGTERM to the command."""
    trial.command.send(signal.SIGTERM)


def interrupt(trial: Trial) -> None:
    """Press Ctrl-C."""
    trial.command.send(signal.SIGINT)


def cut_worker(trial: Trial) -> None:
    """Pull the cable of one worker for a while."""
    assert trial.net is not None
    trial.net.cut(trial.net.hosts[0])
    trial.pause()
    trial.net.mend(trial.net.hosts[0])


def cut_workers(trial: Trial) -> None:
    """Pull the cables of all workers for a while."""
    assert trial.net is not None
    trial.net.cut(*trial.net.hosts)
    trial.pause()
    trial.net.mend(*trial.net.hosts)


ANYWHERE = [kill_worker, kill_workers, freeze_worker, kill_client, terminate, interrupt]
ON_A_CLUSTER = [kill_scheduler, freeze_scheduler]
ON_A_NETWORK = [cut_worker, cut_workers]


@dataclass
class Row:
    """What came of the faults of a kind."""

    tries: int = 0
    survived: int = 0
    repeated: int = 0
    seconds: float = 0.0
    wrong: int = 0

    def note(self, what: str) -> None:
        """Count, and say at once, what should not be."""
        self.wrong += 1
        print(what, flush=True)


class Soak:
    """A study, the answers, and the counts of faults."""

    def __init__(self, folder: Path, net: Network | None) -> None:
        self.folder, self.net = folder, net
        self.rows: dict[str, Row] = defaultdict(Row)
        self.study, self.lod = folder / "study.zarr", folder / "lod.zarr"
        with Machines(folder) as machines:
            machines.finish("simulate", self.study, *SIZES)
            machines.finish("kinship", self.study)
            machines.finish("scan", self.study, self.lod, *SCAN)
            for name in ("permute", "hits"):
                machines.finish(*self.command(name, self.answer(name)))

    def answer(self, name: str) -> Path:
        """The answer that nothing disturbed."""
        return {"scan": self.lod, "hits": self.folder / "hits.csv"}.get(
            name, self.folder / "perm.zarr"
        )

    def command(self, name: str, out: Path) -> list[object]:
        """Words of a command."""
        return {
            "scan": ["scan", self.study, out, *SCAN],
            "permute": ["permute", self.study, out, *PERMUTE],
            "hits": ["hits", self.lod, "--threshold", "1", "--out", out, "--overwrite"],
        }[name]

    def attempt(self, chance: random.Random) -> None:
        """Disturb one command, and repeat it until it is done."""
        name, cluster = chance.choice(["scan", "permute", "hits"]), chance.random() < 0.6
        net = self.net if cluster and chance.random() < 0.7 else None
        faults = ANYWHERE + ON_A_CLUSTER * cluster + ON_A_NETWORK * (net is not None)
        fault = chance.choice(faults)
        row, began = self.rows[fault.__name__], time.monotonic()
        row.tries += 1
        own = Path(tempfile.mkdtemp(dir=self.folder))
        out = own / "out" / self.answer(name).name
        out.parent.mkdir()
        options = {
            "COMM__TIMEOUTS__TCP": chance.choice(DEAD),
            "SCHEDULER__NO_WORKERS_TIMEOUT": WAIT,
        }
        what = f"{fault.__name__}, {name}, {'cluster' if cluster else 'workers'}, {options}"
        with Machines(own, **options) as machines:
            words = self.command(name, out)
            trial = self._begin(machines, words, chance, cluster=cluster, net=net)
            wait_for(trial.command.has_begun)
            time.sleep(chance.uniform(0, 8))
            if not trial.command.ended():
                fault(trial)
            code, said = trial.command.code(), trial.command.said
            if code not in CODES or (code == 1 and said.count("error: ") != 1):
                row.note(f"{what}: exit code {code}: {said[-1500:]}")
            if "Traceback" in said:
                row.note(f"{what}: a traceback: {said[-1500:]}")
        with Machines(own) as machines:
            if code:
                machines.finish(*words, "--threads", "1")
        row.survived += code == 0
        row.repeated += code != 0
        row.seconds += time.monotonic() - began
        self._compare(name, out, row, what)
        shutil.rmtree(own)

    def _begin(
        self,
        machines: Machines,
        words: list[object],
        chance: random.Random,
        *,
        cluster: bool,
        net: Network | None,
    ) -> Trial:
        if not cluster:
            return Trial(machines.bulklmm(*words, *WORKERS), [], None, None, chance)
        scheduler = machines.scheduler("127.0.0.1" if net is None else net.address)
        hosts = [None, None] if net is None else net.hosts
        nannies = [machines.worker(within=host) for host in hosts]
        command = machines.bulklmm(*words, "--scheduler", machines.file)
        return Trial(command, nannies, scheduler, net, chance)

    def _compare(self, name: str, out: Path, row: Row, what: str) -> None:
        answer = self.answer(name)
        read: Callable[[Path], object] = Path.read_bytes if name == "hits" else content
        if read(out) != read(answer):
            row.note(f"{what}: another answer")
        if left := leftovers(out.parent):
            row.note(f"{what}: left behind: {left}")


def main() -> int:
    """Disturb commands until the time is over; 1 if any answer was another, or without a word."""
    parser = argparse.ArgumentParser(prog="soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="How long.  [default: 20]")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the faults.  [default: 0]")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the networks are removed
    reason = unusable()
    if reason:
        print(f"no networks are cut: {reason}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if reason:
            soak = run(Path(folder), None, given.minutes, given.seed)
        else:
            with network(2) as net:
                soak = run(Path(folder), net, given.minutes, given.seed)
    print(f"{'fault':<20}{'tries':>7}{'survived':>10}{'repeated':>10}{'wrong':>7}{'seconds':>9}")
    for name, row in sorted(soak.rows.items()):
        counts = f"{row.tries:>7}{row.survived:>10}{row.repeated:>10}{row.wrong:>7}"
        print(f"{name:<20}{counts}{row.seconds / row.tries:>9.1f}")
    return int(any(row.wrong for row in soak.rows.values()))


def run(folder: Path, net: Network | None, minutes: float, seed: int) -> Soak:
    """Disturb commands for some minutes."""
    soak, chance = Soak(folder, net), random.Random(seed)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        soak.attempt(chance)
    return soak


if __name__ == "__main__":
    sys.exit(main())
