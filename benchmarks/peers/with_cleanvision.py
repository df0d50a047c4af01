"""CleanVision with all its checks as they come: `python with_cleanvision.py FOLDER`.

Prints JSON: its seconds, and for each kind of issue the names of the files that have it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

from cleanvision import Imagelab


def main(folder: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        lab = Imagelab(data_path=folder)
        start = time.time()
        lab.find_issues(n_jobs=1, verbose=False)
        seconds = time.time() - start
    kinds = [column for column in lab.issues.columns if column.startswith("is_")]
    found = {
        kind.removeprefix("is_").removesuffix("_issue"): sorted(
            Path(path).name for path in lab.issues.index[lab.issues[kind]]
        )
        for kind in kinds
    }
    print(json.dumps({"seconds": seconds, "images": len(lab.issues), "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
