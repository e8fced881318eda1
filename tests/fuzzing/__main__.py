"""Fuzzing for as long as wanted: ``python -m fuzzing --minutes 60 --seed 1``, or ``make fuzz``."""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from fuzzing.subjects import SUBJECTS
from fuzzing.trial import attempt

_MEMORY = 16 << 30  # bytes of addresses: damage that asks for more memory is a finding


def main() -> int:
    """Try mutated inputs until the time is over; 1 after a foreign exception."""
    parser = argparse.ArgumentParser(prog="fuzzing", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="How long.  [default: 5]")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the first try.  [default: 0]")
    parser.add_argument("--only", default="", help="Only subjects whose names have this text.")
    parser.add_argument("--out", type=Path, default=Path("fuzz-output"), help="For bad inputs.")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    subjects = [name for name in SUBJECTS if given.only in name]
    counts: Counter[tuple[str, str]] = Counter()
    seen: set[tuple[str, str]] = set()
    end, seed = time.monotonic() + 60 * given.minutes, given.seed
    while time.monotonic() < end:
        for name in subjects:
            found = attempt(name, seed)
            counts[name, found.kind] += 1
            counts[name, "unnamed"] += not found.names_file
            last = found.what.splitlines()[-1]
            if found.kind == "foreign" and (name, last) not in seen:
                seen.add((name, last))
                keep = given.out / f"{name.replace(' ', '-')}-{seed}"
                shutil.rmtree(keep, ignore_errors=True)
                attempt(name, seed, keep)
                (given.out / f"{keep.name}.txt").write_text(found.what + "\n")
                print(f"{name}, seed {seed}: {found.what}\nkept in {keep}\n", flush=True)
        seed += 1
    kinds = ("ok", "InputError", "StoreError", "foreign", "unnamed")
    print(f"{'subject':<30}{'tries':>8}" + "".join(f"{kind:>12}" for kind in kinds))
    for name in (*subjects, "all"):
        row = [
            sum(n for (one, what), n in counts.items() if what == kind and name in (one, "all"))
            for kind in kinds
        ]
        print(f"{name:<30}{sum(row[:4]):>8,}" + "".join(f"{n:>12,}" for n in row))
    return int(any(kind == "foreign" for _, kind in counts))


if __name__ == "__main__":
    sys.exit(main())
