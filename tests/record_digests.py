"""Records the digests of the short runs on this kind of machine: ``python -m tests.record_digests``.

To be called after a change that alters floating-point results on purpose; ``git diff`` then shows for which
methods it does.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.short_runs import DIGESTS, digests, machine_kind, read_digests, run_all


def main() -> int:
    kind = machine_kind()
    with tempfile.TemporaryDirectory(prefix="worldsample-short-runs-") as folder:
        runs = run_all(Path(folder))
        for method, run in runs.items():
            if run.code:
                print(f"{run.output}\n{method} failed with exit code {run.code}", file=sys.stderr)
                return 1
        found = {method: digests(run.folder) for method, run in runs.items()}
    others = [entry for entry in read_digests() if entry["machine"] != kind] if DIGESTS.exists() else []
    DIGESTS.write_text(json.dumps([*others, {"machine": kind, "runs": found}], indent=2) + "\n")
    print(json.dumps({"machine": kind, "runs": found}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
