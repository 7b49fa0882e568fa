"""`python -m benchmarks`: prints every figure; exit code 1 when one breaks its bound."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import chaos, cycles, hostile, intake, memory, preview, starting
from benchmarks.rows import Row

BENCHES: dict[str, Callable[..., list[Row]]] = {
    "preview": preview.run,
    "start": starting.run,
    "memory": memory.run,
    "cycles": cycles.run,
    "chaos": chaos.run,
    "hostile": hostile.run,
    "intake": intake.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches; the floors are always enforced, `--check` is the name that SPEC 19 uses for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail below a floor (always so)")
    parser.add_argument("--quick", action="store_true", help="shorter, with more noise")
    parser.add_argument("--only", choices=sorted(BENCHES), action="append", help="only this bench")
    parser.add_argument("--seed", type=int, help="chaos: draw the same again")
    parser.add_argument("--subscriptions", type=int, help="chaos: how many")
    parser.add_argument("--kills", type=int, help="chaos: how many SIGKILLs of workers")
    given = parser.parse_args(arguments)
    of_chaos = {"seed": given.seed, "subscriptions": given.subscriptions, "kills": given.kills}
    rows: list[Row] = []
    for name in given.only or BENCHES:
        began = time.monotonic()
        found = BENCHES[name](is_quick=given.quick, **(of_chaos if name == "chaos" else {}))
        for row in found:
            print(row.line(), flush=True)
        print(f"     {name}: {time.monotonic() - began:.0f} s", flush=True)
        rows.extend(found)
    bad = [row.name for row in rows if not row.is_good]
    print(f"{len(rows) - len(bad)} of {len(rows)} rows keep their bounds" + "".join(f"\n  broken: {n}" for n in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
