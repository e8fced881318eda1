"""FaST-LMM's single_snp of arrays in a folder; prints its version and seconds. See peers.py."""

import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
from fastlmm.association import single_snp
from pysnptools.kernelreader import KernelData
from pysnptools.snpreader import SnpData

warnings.simplefilter("ignore")
samples, markers, traits = map(int, sys.argv[1:])
people = [["f", f"s{i}"] for i in range(samples)]


def columns(name: str, count: int) -> np.ndarray:
    return np.fromfile(f"{name}.bin").reshape(count, samples).T.copy()


dosage = SnpData(
    iid=people,
    sid=[f"m{i}" for i in range(markers)],
    val=2 * columns("dosage", markers),
    pos=np.column_stack([np.ones(markers), np.zeros(markers), np.arange(markers)]),
)
values = SnpData(iid=people, sid=[f"t{i}" for i in range(traits)], val=columns("traits", traits))
kinship = KernelData(iid=people, val=columns("kinship", samples))
began, before = time.perf_counter(), time.process_time()
found = single_snp(dosage, values, K0=kinship, leave_out_one_chrom=False, count_A1=True)
clock, processor = time.perf_counter() - began, time.process_time() - before
assert len(found) == markers * traits, found.shape
print(version("fastlmm"), clock, processor)
