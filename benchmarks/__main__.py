"""`python -m benchmarks`: prints every figure; exit code 1 when one breaks its bound."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import cycles, memory, preview, starting
from benchmarks.rows import Row

BENCHES: dict[str, Callable[..., list[Row]]] = {
    "preview": preview.run,
    "start": starting.run,
    "memory": memory.run,
    "cycles": cycles.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches; the floors are always enforced, `--check` is the name that SPEC 19 uses for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail below a floor (always so)")
    parser.add_argument("--quick", action="store_true", help="shorter, with more noise")
    parser.add_argument("--only", choices=sorted(BENCHES), action="append", help="only this bench")
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in given.only or BENCHES:
        began = time.monotonic()
        found = BENCHES[name](is_quick=given.quick)
        for row in found:
            print(row.line(), flush=True)
        print(f"     {name}: {time.monotonic() - began:.0f} s", flush=True)
        rows.extend(found)
    bad = [row.name for row in rows if not row.is_good]
    print(f"{len(rows) - len(bad)} of {len(rows)} rows keep their bounds" + "".join(f"\n  broken: {n}" for n in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
