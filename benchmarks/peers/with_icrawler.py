"""icrawler's own feeder of URL lists and its ImageDownloader: `python with_icrawler.py LIST FOLDER THREADS`.

Prints its clock as JSON: seconds from the start of the crawl to the last file. At the end of the list its threads wait
five seconds for more before they stop; that is left out.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from icrawler.builtin import UrlListCrawler


def main(urls: str, folder: str, threads: str) -> None:
    crawler = UrlListCrawler(downloader_threads=int(threads), storage={"root_dir": folder}, log_level=logging.ERROR)
    start = time.time()
    crawler.crawl(urls, max_num=0)
    last = max(path.stat().st_mtime for path in Path(folder).iterdir())
    print(json.dumps({"seconds": last - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
