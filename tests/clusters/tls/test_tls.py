"""A scheduler that speaks TLS: the right certificates compute, others are told why not."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from commands import every_command, flags_of, run
from doc_pages import ROOT, blocks
from faults.machines import Machines, wait_for

import bulklmm_dask as blmm
from bulklmm_dask.errors import InputError, OptionError
from clusters.everywhere import assert_same, command, make_study, run_cell
from clusters.tls.certificates import Authority, configuration, variables, words

pytestmark = [pytest.mark.slow, pytest.mark.tls]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def own(authority):
    """Certificates of a client."""
    return authority.sign("client")


@pytest.fixture(scope="module")
def address(folder, authority):
    """Address of a scheduler with two workers, which speak TLS only."""
    with Machines(folder) as machines:
        machines.environment |= variables(authority.sign("cluster"))
        machines.scheduler(protocol="tls")
        for _ in range(2):
            machines.worker()
        yield json.loads(machines.file.read_text())["address"]


def refused(address, tls, *sentence, kind=InputError):
    """Both surfaces say the same in one sentence, each in its own words."""
    with pytest.raises(kind) as caught, blmm.workers(scheduler=address, tls=tls):
        pass
    for each in sentence:
        assert each in str(caught.value)
    return str(caught.value)


def test_the_command(tmp_path, address, own):
    study = make_study(tmp_path)
    where = ["--scheduler", address, *words(own)]
    assert address.startswith("tls://")
    found = run(*command(study, tmp_path / "lod.zarr", *where))
    assert f"the scheduler at {address}" in found.stderr
    assert_same(tmp_path / "lod.zarr")


def test_the_cell_in_our_words(tmp_path, address, own):
    study = make_study(tmp_path)
    with blmm.workers(scheduler=address, tls=own):
        run_cell(study, tmp_path / "lod.zarr")
    assert_same(tmp_path / "lod.zarr")


def test_the_cell_in_the_words_of_dask(tmp_path, address, own):
    where = (
        "from distributed import Client, Security\n"
        f"client = Client({address!r}, security=Security(require_encryption=True, "
        f"tls_ca_file={str(own.ca_file)!r}, tls_client_cert={str(own.cert)!r}, "
        f"tls_client_key={str(own.key)!r}))"
    )
    names = run_cell(make_study(tmp_path), tmp_path / "lod.zarr", where)
    names["client"].close()
    assert_same(tmp_path / "lod.zarr")


def test_the_configuration_of_dask(tmp_path, address, own):
    study = make_study(tmp_path)
    with dask.config.set(configuration(own)):
        run(*command(study, tmp_path / "lod.zarr", "--scheduler", address))
        with blmm.workers(scheduler=address, tls=blmm.Certificates(cert=own.cert)):
            pass
    assert_same(tmp_path / "lod.zarr")


def test_a_key_in_the_file_of_its_certificate(tmp_path, address, own):
    both = tmp_path / "both.pem"
    both.write_bytes(own.cert.read_bytes() + own.key.read_bytes())
    with blmm.workers(scheduler=address, tls=blmm.Certificates(own.ca_file, both)) as where:
        assert address in str(where)


def test_a_client_without_certificates(tmp_path, address, own):
    refused(address, None, "takes no client without certificates", "ca_file of Certificates")
    refused(
        address,
        blmm.Certificates(ca_file=own.ca_file),
        "takes no client without",
        "cert of Certificates",
    )
    study = make_study(tmp_path)
    found = run(*command(study, tmp_path / "lod.zarr", "--scheduler", address), code=2)
    assert "--tls-ca-file" in found.stderr
    assert "distributed.comm.tls.ca-file" in found.stderr


def test_the_scheduler_itself_refuses_a_stranger(address, own):
    """Not only we do: a context without a certificate gets no answer."""
    context = ssl.create_default_context(cafile=str(own.ca_file))
    context.check_hostname = False
    host, port = address.removeprefix("tls://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain) as connection,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        connection.recv(1)


def test_the_authority_of_another_cluster(tmp_path, address, own):
    other = Authority(tmp_path, "other")
    strange = other.sign("strange")
    refused(
        *(address, replace(own, ca_file=other.file)),
        *("has a certificate that", str(other.file), "has not signed", "ca_file of Certificates"),
    )
    refused(
        *(address, replace(strange, ca_file=own.ca_file)),
        *("refuses the certificate", str(strange.cert), "no authority", "cert of Certificates"),
    )


def test_certificates_that_have_expired(tmp_path, address, authority, own):
    old = authority.sign("old", days=-3)
    refused(address, old, str(old.cert), "has expired", "ask the authority")
    gone = Authority(tmp_path, "gone", days=-3)
    refused(
        *(address, replace(own, ca_file=gone.file)),
        *("ca_file of Certificates is", str(gone.file), "has expired, on"),
    )


def test_the_certificate_of_the_scheduler_has_expired(tmp_path, authority, own):
    with Machines(tmp_path) as machines:
        machines.environment |= variables(authority.sign("old-cluster", days=-3))
        machines.scheduler(protocol="tls")
        refused(
            *(json.loads(machines.file.read_text())["address"], own),
            *("certificate of the scheduler at", "has expired", "start the scheduler anew"),
        )


@pytest.mark.parametrize("name", ["ca_file", "cert", "key"])
def test_files_that_are_missing_or_hold_something_else(tmp_path, address, own, name):
    absent, empty, folder = (tmp_path / one for one in ("absent.pem", "empty.pem", "folder.pem"))
    empty.touch()
    folder.mkdir()
    for file, why in ((absent, "no such file"), (empty, "PEM format"), (folder, "cannot be read")):
        said = refused(
            address, replace(own, **{name: file}), f"{name} of Certificates is", str(file), why
        )
        assert "give " in said or "correct " in said
    where = words(replace(own, **{name: absent}))
    found = run("scan", "s.zarr", "r.zarr", "--scheduler", address, *where, code=1)
    assert f"--tls-{name.replace('_', '-')} is '{absent}'" in found.stderr


def test_a_file_that_may_not_be_read(address, own, monkeypatch):
    """Also where tests run as root, who reads everything."""
    read = Path.read_bytes

    def read_others(file):
        if file == own.key:
            raise PermissionError(13, "Permission denied")
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", read_others)
    refused(address, own, str(own.key), "cannot be read (Permission denied)", "may read")


def test_files_that_are_cut(tmp_path, address, own):
    cut = tmp_path / "cut.pem"
    cut.write_bytes(own.ca_file.read_bytes()[:200])
    refused(address, replace(own, ca_file=cut), str(cut), "whole")
    refused(address, replace(own, cert=cut), str(cut), "cannot be used")


def test_a_key_of_another_certificate(address, authority, own):
    other = authority.sign("another")
    refused(address, replace(own, key=other.key), str(other.key), "is not the key of", "made with")


def test_a_key_with_a_passphrase_is_not_asked_for(address, authority):
    locked = authority.sign("locked", passphrase=b"secret")
    refused(address, locked, str(locked.key), "passphrase")


def test_addresses_and_certificates_that_do_not_belong_together(tmp_path, address, own):
    refused("tcp://127.0.0.1:9", own, "certificates are for", "tcp://127.0.0.1:9", kind=OptionError)
    with pytest.raises(OptionError, match="and there is none"), blmm.workers(tls=own):
        pass
    found = run("heritability", tmp_path, "--tls-cert", own.cert, code=2)
    assert f"--tls-cert ('{own.cert}')" in found.stderr


def test_the_other_protocol(address, own, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.engine.local._PATIENCE", "2s")
    plain = address.replace("tls://", "tcp://")
    refused(plain, None, "speaks TLS only", "tls://")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=0, protocol="tcp", processes=False, dashboard_address=":0"
    ) as cluster:
        encrypted = cluster.scheduler_address.replace("tcp://", "tls://")
        refused(encrypted, own, "does not speak TLS", "tcp://")


def test_nobody_answers(own, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.engine.local._PATIENCE", "1s")
    refused("tls://127.0.0.1:9", own, "no Dask scheduler answers at 'tls://127.0.0.1:9'")


def test_a_listener_that_never_answers(own, monkeypatch):
    monkeypatch.setattr("bulklmm_dask.engine.local._PATIENCE", "1s")
    monkeypatch.setattr("bulklmm_dask.engine.security._PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel alone takes connections
        refused(f"tls://127.0.0.1:{silent.getsockname()[1]}", own, "no Dask scheduler answers")


def test_every_command_with_a_scheduler_takes_certificates():
    found = [flags_of(command) for _, command in every_command()]
    computing = [flags for flags in found if "--scheduler" in flags]
    assert len(computing) > 10
    for flags in computing:
        assert {"--tls-ca-file", "--tls-cert", "--tls-key"} <= flags


def test_the_page_word_for_word(tmp_path, monkeypatch):
    """Certificates by openssl, a scheduler, a worker and a scan; only the address is another."""
    make, use, *_ = blocks((ROOT / "docs" / "guide" / "security.md").read_text(), "bash")
    subprocess.run(["bash", "-ec", make], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "me.key").stat().st_mode & 0o077 == 0
    start, join, scan = (shlex.split(line) for line in use.splitlines())
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path)
    with Machines(tmp_path) as machines:
        here = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
        machines.start("-m", *start, *here, "--scheduler-file", machines.file)
        wait_for(lambda: machines.file.exists() and machines.file.stat().st_size)
        address = json.loads(machines.file.read_text())["address"]
        assert address.startswith("tls://")
        join, scan = (
            [word.replace("tls://node1:8786", address) for word in one] for one in (join, scan)
        )
        machines.start("-m", *join, "--nworkers", 1, "--nthreads", 1, "--no-dashboard")
        run(*scan[1:], "--chunks", "12,4")
    assert_same(tmp_path / "lod.zarr")
