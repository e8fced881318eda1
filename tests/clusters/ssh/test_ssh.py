"""Workers that are started by ssh on this machine: the recipe, the cell of its page, and ends."""

from __future__ import annotations

import signal

import dask
import pytest
from commands import run
from doc_pages import ROOT, blocks
from faults.machines import Machines, wait_for

import bulklmm_dask as blmm
from clusters.everywhere import CHUNKS, assert_same, cell, command, make_script, make_study
from clusters.ssh.daemon import SSHD, Daemon
from clusters.tls.certificates import Authority, words

pytest.importorskip("asyncssh", reason="asyncssh is not installed; it comes with the extra 'test'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.ssh,
    pytest.mark.skipif(SSHD is None, reason="there is no sshd (Debian: openssh-server)"),
]

RECIPE = ROOT / "cluster_configs" / "ssh" / "cluster.py"
# Shells let background jobs ignore Ctrl-C, and what they start inherits that.
_MAIN = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
PAGE = ROOT / "docs" / "guide" / "ssh.md"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture
def machines(tmp_path, daemon):
    folder = tmp_path / "logs"
    folder.mkdir()
    with Machines(folder) as running:
        running.environment |= {"HOME": str(daemon.home)}
        yield running
        for one in daemon.started():  # also after a test that has failed
            one.kill()


def started(machines, *options):
    """The recipe on node1 and node2; gives it, and the scheduler file."""
    recipe = machines.start(
        *(
            "-c",
            _MAIN,
            RECIPE,
            "node1",
            "node2",
            "--threads",
            1,
            "--memory",
            "2GB",
            "--address",
            "127.0.0.1",
        ),
        *("--scheduler-file", machines.file, "--scratch", machines.folder / "scratch", *options),
    )
    wait_for(lambda: machines.file.exists() or recipe.ended())
    assert machines.file.exists(), recipe.said
    return recipe


def test_the_command_and_the_script(tmp_path, machines, daemon):
    recipe = started(machines)
    study, where = make_study(tmp_path), ("--scheduler", machines.file)
    found = run(*command(study, tmp_path / "lod.zarr", *where))
    assert "so far" in found.stderr
    script = machines.start(make_script(tmp_path), study, tmp_path / "again.zarr", *where)
    assert script.code() == 0, script.said
    assert_same(tmp_path / "lod.zarr", tmp_path / "again.zarr")
    assert len(daemon.started()) >= 3
    recipe.send(signal.SIGINT)
    assert recipe.code() == 0, recipe.said
    assert not machines.file.exists()
    wait_for(lambda: not daemon.started(), 60)


def test_over_tls(tmp_path, machines):
    authority = Authority(tmp_path)
    started(machines, *words(authority.sign("cluster")))
    own = authority.sign("me")
    where = ["--scheduler", machines.file, *words(own)]
    found = run(*command(make_study(tmp_path), tmp_path / "lod.zarr", *where))
    assert "the scheduler at tls://127.0.0.1:" in found.stderr
    assert_same(tmp_path / "lod.zarr")
    found = run("heritability", tmp_path / "study.zarr", "--scheduler", machines.file, code=2)
    assert "takes no client without certificates" in found.stderr


def test_a_worker_that_is_killed(tmp_path, machines, daemon):
    started(machines)
    study = make_study(tmp_path)
    with blmm.workers(scheduler=str(machines.file)):
        victims = [
            child
            for one in daemon.started()
            for child in one.children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]
        assert victims
        victims[0].kill()
        blmm.scan(blmm.open_dataset(study), store=tmp_path / "lod.zarr", chunks=CHUNKS)
    assert_same(tmp_path / "lod.zarr")


def test_the_cell_of_the_page(tmp_path, machines):
    """Word for word, in a process of its own, as a notebook is."""
    (lines,) = blocks(PAGE.read_text(), "python")
    connect = lines[: lines.index("import bulklmm_dask")]
    assert "SSHCluster" in connect
    script = tmp_path / "cell.py"
    script.write_text(cell(make_study(tmp_path), tmp_path / "lod.zarr", connect))
    done = machines.start(script)
    assert done.code() == 0, done.said
    assert_same(tmp_path / "lod.zarr")


def test_what_the_machines_are_sent(machines, daemon):
    """Dask's configuration is a part of their command lines, which all users of a machine see."""
    machines.environment |= {
        "DASK_GATEWAY__AUTH__PASSWORD": "c0ffee-secret",
        "GITHUB_TOKEN": "c0ffee-secret",
    }
    started(machines)
    lines = [" ".join(one.cmdline()) for one in daemon.started()]
    environments = [one.environ() for one in daemon.started()]
    sent = [one["DASK_INTERNAL_INHERIT_CONFIG"] for one in environments]
    assert len(sent) >= 3
    for one in sent:
        settings = dask.config.deserialize(one)
        assert "MALLOC_ARENA_MAX" in str(settings)
        assert "c0ffee" not in str(settings)
    assert not [line for line in lines if "c0ffee" in line]
    assert not [one for one in environments if "c0ffee" in str(one)]


def test_a_machine_that_is_not_known(tmp_path, machines, daemon):
    known = daemon.folder / "known_hosts"
    before = known.read_text()
    known.write_text("")
    try:
        recipe = machines.start(RECIPE, "node1", "--scheduler-file", machines.file)
        assert recipe.code() != 0
        assert "Host key is not trusted" in recipe.said
        assert not machines.file.exists()
    finally:
        known.write_text(before)
