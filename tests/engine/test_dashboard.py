"""Dashboards are served where they are asked for, and the report of a block is one whole page."""

import socket
import urllib.request

import dask
import numpy as np
import pytest
import studies
from commands import SMALL, run
from distributed import LocalCluster

import bulklmm_dask as blmm
from bulklmm_dask.engine import dashboard
from bulklmm_dask.engine.dashboard import address_in, link_to, require_report, serving_address
from bulklmm_dask.engine.local import workers
from bulklmm_dask.engine.run import active_client
from bulklmm_dask.errors import InputError, StoreError, StudyWarning

EARLIER = "<html><head><title>Dask Performance Report</title></head></html>"


@pytest.fixture
def without_bokeh(monkeypatch):
    monkeypatch.setattr(dashboard, "BOKEH", "no-such-package")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("8787", ("127.0.0.1", 8787)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:8787", ("0.0.0.0", 8787)),
        ("node7:80", ("node7", 80)),
        ("", None),
        ("node7", None),
        ("lod.zarr", None),
        ("node7:65536", None),
        ("s3://bucket:80", None),
        ("[::1]:80", None),
        ("node7:²", None),
    ],
)
def test_an_address_is_a_port_perhaps_with_a_host(given, found):
    assert address_in(given) == found


def test_a_dashboard_is_seen_on_this_machine_only_unless_asked():
    assert serving_address("") == ("127.0.0.1", 0)
    assert serving_address("0.0.0.0:0") == ("0.0.0.0", 0)
    with pytest.raises(InputError, match=r"dashboard is 'lod.zarr'; it should be a port"):
        serving_address("lod.zarr")
    with pytest.raises(InputError, match=r"'192\.0\.2\.77' is no address of this machine"):
        serving_address("192.0.2.77:0")


def test_the_line_has_the_port_that_is_served():
    assert link_to("127.0.0.1", 0, 81) == "http://127.0.0.1:81/status"
    assert link_to("127.0.0.1", 80, 81) == "http://127.0.0.1:81/status (port 80 is in use)"
    assert link_to("0.0.0.0", 81, 81) == f"http://{socket.gethostname()}:81/status"
    with dask.config.set({"distributed.dashboard.link": "https://hub/proxy/{port}/status"}):
        assert link_to("127.0.0.1", 0, 81) == "https://hub/proxy/81/status"


def test_a_report_replaces_nothing_but_a_report(tmp_path):
    (tmp_path / "table.csv").write_text("trait,lod\n")
    (tmp_path / "report.html").write_text(EARLIER)
    assert require_report(str(tmp_path / "new.html")).name == "new.html"
    assert require_report(str(tmp_path / "report.html")).name == "report.html"
    for path, words in (
        ("table.csv", r"table.csv exists, and is no performance report.*performance_report an"),
        (".", "it is a folder"),
        ("none/new.html", "there is no folder"),
    ):
        with (
            pytest.raises(StoreError, match=words),
            workers(processes=1, performance_report=tmp_path / path),
        ):
            pass
    assert (tmp_path / "table.csv").read_text() == "trait,lod\n"


@pytest.mark.parametrize("asked", [{"dashboard": ""}, {"performance_report": "r.html"}], ids=str)
def test_bokeh_is_asked_for_before_any_work(asked, without_bokeh):
    words = rf"{next(iter(asked))} needs bokeh, .*: pip install bokeh"
    with pytest.raises(InputError, match=words), workers(**asked):
        pass


@pytest.mark.slow
def test_a_running_scheduler_shows_its_own_dashboard(monkeypatch, tmp_path):
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, port=0, dashboard_address=":0"
    ) as cluster:
        place = cluster.scheduler_address
        with workers(scheduler=place) as where:
            assert where.dashboard is None
        with (
            pytest.raises(InputError, match=r"dashboard='8787' and scheduler=.* its own"),
            workers(scheduler=place, dashboard="8787"),
        ):
            pass
        port = cluster.scheduler_info["services"]["dashboard"]
        monkeypatch.setattr(dashboard, "BOKEH", "dask")  # which is there
        with workers(scheduler=place, dashboard="") as where:
            assert where.dashboard.endswith(f":{port}/status")
        monkeypatch.setattr(dashboard, "BOKEH", "no-such-package")
        for asked in ({"dashboard": ""}, {"performance_report": tmp_path / "r.html"}):
            with (
                pytest.raises(InputError, match=rf"needs bokeh where the scheduler .*{place}"),
                workers(scheduler=place, **asked),
            ):
                pass
        cluster.scheduler.services.clear()
        with (
            pytest.raises(InputError, match=r"the scheduler at .* has no dashboard"),
            workers(scheduler=place, dashboard=""),
        ):
            pass


@pytest.mark.slow
def test_threads_are_seen_too_and_give_the_same(tmp_path):
    pytest.importorskip("bokeh", reason="it draws the dashboard: pip install bokeh")
    ds = studies.study(n=30, p=30, m=12)
    expected = blmm.scan(ds).lod.compute()
    page = tmp_path / "report.html"
    with workers(threads=2, dashboard="", performance_report=page) as where:
        assert str(where).startswith("2 threads of this process (from threads)")
        assert urllib.request.urlopen(where.dashboard, timeout=30).status == 200
        np.testing.assert_array_equal(blmm.scan(ds).lod, expected)
        assert not page.exists()
    assert active_client() is None
    text = page.read_text(encoding="utf-8")
    assert "Dask Performance Report" in text
    assert "lod-block" in text
    assert "<script src=" not in text  # it needs no network
    page.write_text(EARLIER)
    with pytest.raises(ZeroDivisionError), workers(threads=1, performance_report=page):
        raise ZeroDivisionError
    assert len(page.read_text(encoding="utf-8")) > 10 * len(EARLIER)


@pytest.mark.slow
def test_a_report_that_cannot_be_drawn_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "BOKEH", "dask")  # which is there

    def fail(*_):
        raise LookupError("no template")

    monkeypatch.setattr("distributed.performance_report.__exit__", fail)
    page = tmp_path / "report.html"
    with (
        pytest.warns(StudyWarning, match=r"there is no performance report .*\(no template\)"),
        workers(threads=1, performance_report=page),
    ):
        assert dask.delayed(sum)([1, 2]).compute() == 3
    assert not page.exists()


@pytest.mark.slow
def test_commands_say_the_address_and_what_they_have_written(tmp_path, monkeypatch):
    pytest.importorskip("bokeh", reason="it draws the dashboard: pip install bokeh")
    monkeypatch.chdir(tmp_path)
    run("simulate", "s.zarr", *SMALL)
    seen = ["--workers", 1, "--dashboard=0", "--performance-report", "r.html"]
    told = run("scan", "s.zarr", "l.zarr", "--kinship", "bulklmm", *seen)
    assert "dashboard: http://127.0.0.1:" in told.stderr
    assert "write-block" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_word_behind_the_flag_that_is_no_address_is_refused(tmp_path):
    told = run("maxima", "--dashboard", tmp_path / "lod.zarr", code=2).stderr
    assert "lod.zarr' is neither a port, such as 8787, nor an address" in " ".join(told.split())
