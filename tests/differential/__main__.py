"""Show the case of a seed and its differences, or try many cases.

python -m tests.differential --seed 17             the case, cut down as far as it still differs
python -m tests.differential --cases 5000 --start 0 --jobs 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.differential.making import make
from tests.differential.shrink import shrink
from tests.differential.trial import trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--seed", type=int, help="show this case, and what differs")
    parser.add_argument("--whole", action="store_true", help="do not cut the case down")
    parser.add_argument("--cases", type=int, default=300, help="how many cases to try")
    parser.add_argument("--start", type=int, default=0, help="seed of the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--most", type=int, default=20, help="differing cases to print")
    options = parser.parse_args()
    if options.seed is not None:
        return show(options.seed, whole=options.whole)
    return try_many(range(options.start, options.start + options.cases), options.jobs, options.most)


def show(seed: int, *, whole: bool) -> int:
    """Print the case of a seed, and its differences."""
    case = make(seed)
    found = trial(case).differences
    if found and not whole:
        case = shrink(case)
        found = trial(case).differences
    print(case)
    print("\n".join(["DIFFERENCES", *found]) if found else "no difference")
    return int(bool(found))


def try_many(seeds: Iterable[int], jobs: int, most: int) -> int:
    """Try the cases of some seeds; print what differs, and one line that sums up."""
    started, seeds, wrong, refused = time.perf_counter(), list(seeds), 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for seed, (found, refusal) in zip(seeds, pool.map(attempt, seeds, chunksize=10), strict=True):
            refused += refusal
            wrong += bool(found)
            if found and wrong <= most:
                print(f"seed {seed}: " + " | ".join(text[:300] for text in found[:3]), flush=True)
    seconds = time.perf_counter() - started
    print(
        f"{len(seeds)} cases, seeds {seeds[0]} to {seeds[-1]}: {len(seeds) - wrong} agree "
        f"({refused} of them refused by both), {wrong} differ; {seconds:.0f} s"
    )
    return int(bool(wrong))


def attempt(seed: int) -> tuple[list[str], bool]:
    """Try the case of a seed; return its differences, and whether both refused it."""
    try:
        outcome = trial(make(seed))
    except Exception as err:
        return [f"the test itself failed: {type(err).__name__}: {err}"], False
    return outcome.differences, outcome.refused


if __name__ == "__main__":
    sys.exit(main())
