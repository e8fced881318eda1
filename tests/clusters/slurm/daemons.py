"""A SLURM cluster on this machine: munge, a controller and two virtual nodes, which end with it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
from faults.machines import PATIENCE, wait_for

NODES = ("node1", "node2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
# Seconds for the daemons to answer; jobs may take longer (`PATIENCE`).
_BEGIN = 60.0
# A node has what the files of cluster_configs ask for, whatever the machine has: nothing binds it.
# Requeued jobs begin after cred_expire, of which 5 s are the least.
_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=16 RealMemory=40000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=40000
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
"""


class CannotStartError(Exception):
    """SLURM cannot be had here, and why."""


class Slurm:
    """The daemons, and what users do: jobs are submitted from a folder and looked at.

    Parameters
    ----------
    folder : path
        For configuration, keys, spool and state; its path is short, as those of sockets are.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise CannotStartError(
                f"no {', '.join(missing)}; Debian: apt-get install slurm-wlm munge"
            )
        if os.geteuid() != 0:
            raise CannotStartError("the daemons of SLURM are started as root")
        self.folder = folder
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("SLURM")},
            "SLURM_CONF": str(folder / "slurm.conf"),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        with self._ending:
            self._start()
            self._ending = self._ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        ports = _free_ports(3)
        host = socket.gethostname().partition(".")[0]
        conf = self.folder / "slurm.conf"
        conf.write_text(_CONF.format(host=host, folder=self.folder, ports=ports))
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        self._daemon(
            "munged",
            *("--foreground", "--force", f"--key-file={key}"),
            *(f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid"),
            *(f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed"),
        )
        self._wait_for("munge has a socket", lambda: (self.folder / "munge.socket").exists())
        self._daemon("slurmctld", "-D", "-f", conf)
        for name in NODES:
            self._node(name)
        self._wait_for("nodes are idle", lambda: self.run("sinfo", "-h", "-o", "%t %D") == "idle 2")
        self._ending.callback(self._end_jobs)

    def _node(self, name: str) -> None:
        conf = self.folder / "slurm.conf"
        self._nodes[name] = self._daemon("slurmd", "-D", "-N", name, "-f", conf)

    def _daemon(self, *command: object) -> subprocess.Popen[bytes]:
        """Start a daemon in the foreground, and end it with the cluster."""
        log = self.folder / f"{'-'.join(str(word) for word in command[:4:3])}.out".replace("/", "_")
        with log.open("ab") as stream:
            process = subprocess.Popen(
                list(map(str, command)),
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )

        def end() -> None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._ending.callback(end)
        return process

    @contextmanager
    def lost(self, node: str) -> Iterator[None]:
        """Kill all that runs on a node, as if its power were cut, and start it again at the end.

        The controller is told at once, in place of finding out after SlurmdTimeout; it takes the
        node back by itself (ReturnToService).
        """
        began = self._told_of(node, "SlurmdStartTime")
        self._nodes[node].kill()
        while processes := self._processes(node):  # also those that have begun meanwhile
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=PATIENCE)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
        try:
            yield
        finally:
            self._nodes[node].wait()
            self._node(node)
            wait_for(lambda: self._told_of(node, "SlurmdStartTime") != began)
            wait_for(lambda: self._told_of(node, "State") in ("IDLE", "MIXED", "ALLOCATED"))

    def _told_of(self, node: str, field: str) -> str:
        words = self.run("scontrol", "show", "node", node, "-o").split()
        return next(word for word in words if word.startswith(f"{field}=")).partition("=")[2]

    def _processes(self, node: str) -> list[psutil.Process]:
        """Those of the jobs on a node: their own, and slurmstepd, which starts them."""
        ours = {"SLURMD_NODENAME": node, "SLURM_CONF": self.environment["SLURM_CONF"]}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if ours.items() <= process.environ().items():
                    found.append(process)
                    parent = process.parent()
                    if parent is not None and parent.name() == "slurmstepd":
                        found.insert(0, parent)
        return found

    def _wait_for(self, what: str, condition) -> None:
        end = time.monotonic() + _BEGIN
        while not condition():
            if time.monotonic() > end:
                logs = (log.read_text().strip() for log in sorted(self.folder.glob("*.out")))
                last = " | ".join(log.splitlines()[-1] for log in logs if log)
                raise CannotStartError(f"not so within {_BEGIN:g} s: {what} ({last})")
            time.sleep(0.1)

    def _end_jobs(self) -> None:
        with suppress(subprocess.CalledProcessError, AssertionError):
            self.run("scancel", "--user=root")
            wait_for(lambda: not self.run("squeue", "-h", "-t", "running,completing"), 30)

    def run(self, *command: object, **options) -> str:
        """Run a command of a user; what it writes, without the last line feed."""
        done = subprocess.run(
            list(map(str, command)),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **options,
        )
        if done.returncode:
            if command[0] == "sinfo":  # the controller is not there yet
                return ""
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout.strip()

    def state(self, job: str) -> set[str]:
        """States of a job, or of the tasks of an array, such as COMPLETED."""
        told = self.run("scontrol", "show", "job", job, "-o")
        return {
            word.partition("=")[2]
            for line in told.splitlines()
            for word in line.split()
            if word.startswith("JobState=")
        }

    def wait(self, job: str, state: str = "COMPLETED") -> None:
        """Wait until a job, and all tasks of an array, have ended in a state."""
        live = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED"}
        states = set[str]()

        def has_ended() -> bool:
            states.clear()
            states.update(self.state(job))  # none while a task of an array becomes a job
            return bool(states) and not states & live

        wait_for(has_ended)
        assert states == {state}


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
