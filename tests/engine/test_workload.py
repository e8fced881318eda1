"""What a run asks of its workers: counts against the tasks of real runs, blocks that fit."""

import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
import studies

import bulklmm_dask as blmm
from bulklmm_dask.analyses.loads import Shapes, permute_load, scan_load
from bulklmm_dask.analyses.scan_options import PermuteOptions, ScanOptions
from bulklmm_dask.engine import permute, run, workload
from bulklmm_dask.engine.room import Room, bytes_of, fitting
from bulklmm_dask.surface import command_line

OPTIONS = ScanOptions("null-exact", reml=False, precision="double")
PERMUTE = PermuteOptions("per-trait", 100, 0, None, OPTIONS)


def of_scan(n, variants, traits, chunks="auto", **shapes):
    return scan_load(Shapes(n, variants, traits, **shapes), OPTIONS, chunks)


@pytest.mark.parametrize("batch", [3, 7, 512])
@pytest.mark.parametrize("permuted", [False, True])
def test_batches_and_fits_are_those_of_a_run(monkeypatch, tmp_path, batch, permuted):
    monkeypatch.setattr(run, "BATCH", batch)
    monkeypatch.setattr(workload, "BATCH", batch)
    for name in ("_MARKER_CELLS", "_MOST_CELLS"):
        monkeypatch.setattr(permute, name, 300)
    seen = []
    make = run._batch

    def recorded(writes, shared, keys):
        seen.append(make(writes, shared, keys))
        return seen[-1]

    monkeypatch.setattr(run, "_batch", recorded)
    ds = studies.study(n=30, p=40, m=25)
    if permuted:
        chunks = {"permutations": 30, "traits": 9}
        blmm.permute(ds, n_permutations=100, chunks=chunks, store=tmp_path / "max.zarr")
        load = permute_load(Shapes(30, 40, 25), PERMUTE, 1, chunks)
    else:
        chunks = {"variants": 7, "traits": 9}
        blmm.scan(ds, chunks=chunks, store=tmp_path / "lod.zarr")
        load = of_scan(30, 40, 25, chunks)
    counts = [Counter(str(key[0]).rsplit("-", 1)[0] for key in each.tasks) for each in seen]
    assert [(each["write-block"], each["null-fit"]) for each in counts] == load.batches()
    total = sum(counts, Counter())
    assert total["write-block"] == load.n_blocks
    assert total["null-fit"] == load.n_fits
    assert total["write-traits"] == load.grid[1]
    if permuted:
        assert total["permuted-maxima"] == load.n_blocks
        assert total["permuted-block"] == load.n_blocks * load.plan.shape[0]


def test_every_kinship_is_fitted():
    one, five = (of_scan(100, 50, 30, relations=k) for k in (1, 5))
    assert (one.n_fits, five.n_fits) == (1, 5)
    assert (one.n_bases, five.n_bases) == (1, 5)
    assert of_scan(100, 50, 30, relations=0).n_bases == 0
    assert of_scan(100, 50, 30, patterns=4).n_bases == 5


@pytest.mark.parametrize("sizes", [(32_445, 7_321, 248), (10**6, 10**7, 1000)])
def test_the_batches_hold_every_block_once(sizes):
    traits, variants, n = sizes
    load = of_scan(n, variants, traits)
    blocks, columns = np.array(load.batches()).T
    assert blocks.sum() == load.n_blocks == load.plan.n_blocks
    assert columns.sum() == load.trait_reads >= load.grid[1]
    assert load.plan.shape[0] <= load.marker_reads <= load.n_blocks


def test_memory_grows_with_whatever_is_larger():
    def total(threads=1, n=500, relations=1, **chunks):
        cut = {"variants": 512, "traits": 512} | chunks
        return of_scan(n, 10**5, 10**4, cut, relations=relations).memory(threads).total

    assert total() < total(threads=2) < total(threads=4)
    assert total() < total(n=1000) < total(n=5000)
    assert total() < total(variants=2048)
    assert total() < total(traits=2048)
    assert total(relations=0) < total() < total(relations=20)


def test_null_models_of_other_workers_bring_no_basis():
    load = of_scan(3000, 7000, 4096)
    assert load.memory(1, workers=8) == load.memory(1)


class TestFitting:
    def make(self, n=1000, variants=10**6, traits=10**5, **shapes):
        return partial(scan_load, Shapes(n, variants, traits, **shapes), OPTIONS)

    def test_the_usual_blocks_where_they_fit(self):
        make = self.make()
        assert fitting(make, "auto", None) == make("auto")
        assert fitting(make, "auto", Room(1, 2, None)) == make("auto")
        assert fitting(make, "auto", Room(1, 2, 10**10)) == make("auto")

    @pytest.mark.parametrize("memory", ["400MB", "600MB", "900MB"])
    def test_the_largest_that_fit(self, memory):
        make, room = self.make(), Room(1, 2, bytes_of(memory))
        load = fitting(make, "auto", room)
        assert room.memory(load).total <= room.usable < room.memory(make("auto")).total
        plan = load.plan
        for larger in ((2 * plan.variants, plan.traits), (plan.variants, 2 * plan.traits)):
            if larger[0] <= 2048 and larger[1] <= 4096:
                cut = dict(zip(("variants", "traits"), larger, strict=True))
                assert room.memory(make(cut)).total > room.usable

    def test_a_size_that_is_asked_for_stays(self):
        whole = Room(1, 2).memory(self.make()({"traits": 1000})).total
        load = fitting(self.make(), {"traits": 1000}, Room(1, 2, int(whole / 0.8)))
        assert load.plan.traits == 1000
        assert load.plan.variants < 2048

    def test_permutations_become_fewer_at_a_time(self):
        make = partial(permute_load, Shapes(2000, 10**5, 10**4), PERMUTE, 1)
        room = Room(1, 1, int(Room().memory(make("auto")).total / 0.71))
        load = fitting(make, "auto", room)
        assert load.plan.traits < make("auto").plan.traits
        assert room.memory(load).total <= room.usable < room.memory(make("auto")).total
        with pytest.raises(blmm.InputError, match="100 permutations x 1 traits"):
            fitting(make, "auto", Room(1, 4, bytes_of("400MB")))

    def test_too_little_says_how_much_is_needed_and_for_what(self):
        make, room = self.make(relations=20), Room(1, 4, bytes_of("300MB"))
        with pytest.raises(blmm.InputError) as error:
            fitting(make, "auto", room)
        needed = room.memory(make({"variants": 256, "traits": 128})).total / 0.7
        words = str(error.value)
        assert "a worker has 300 MB for 4 threads, of which dask lets it use 210 MB" in words
        assert "the smallest block, 256 variants x 128 traits, needs" in words
        assert "205 MB for Python and its libraries, 320 MB for 20 kinships" in words
        assert words.endswith("or fewer threads, or no loco")
        (said,) = re.findall(r"give workers with (\S+ MB) or more", words)
        assert needed <= bytes_of(said) < 1.01 * needed
        assert fitting(make, "auto", Room(1, 4, bytes_of(said)))
        with (
            command_line(),
            pytest.raises(blmm.InputError, match=r"give --memory \d+MB or more, .*no --loco$"),
        ):
            fitting(make, "auto", room)

    def test_blocks_that_are_asked_for_are_not_made_smaller(self):
        chunks = {"variants": 2048, "traits": 4096}
        with pytest.raises(blmm.InputError, match=r"but a block, 2,048 .*smaller chunks, or none$"):
            fitting(self.make(), chunks, Room(1, 1, bytes_of("500MB")))

    def test_amounts(self):
        assert bytes_of("1.5GB") == 1_500_000_000
        assert bytes_of(10) == 10
        for wrong in ("much", "5 parsec", None, []):
            with pytest.raises(blmm.InputError, match="is no amount"):
                bytes_of(wrong)
