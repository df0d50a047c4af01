"""`find_copies.py FOLDER`: pairs of copies among pictures, as JSON: by imagededup's hashes at its threshold."""

from __future__ import annotations

import json
import sys

from without_torch import open_packages


def main() -> None:
    open_packages()
    from imagededup.methods.hashing import DHash, PHash

    found = {}
    for method in (PHash, DHash):
        hasher = method(verbose=False)
        near = hasher.find_duplicates(sys.argv[1], num_enc_workers=0, num_dist_workers=0)
        found[method.__name__] = sorted({tuple(sorted((one, other))) for one, many in near.items() for other in many})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
