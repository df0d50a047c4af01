"""A Scrapy spider that hands every URL of a list to the ImagesPipeline: `python with_scrapy.py LIST FOLDER REQUESTS`.

Prints its clock as JSON: Scrapy's own `elapsed_time_seconds`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess


class ListSpider(scrapy.Spider):
    """One item a URL."""

    name = "list"

    async def start(self) -> AsyncIterator[Any]:
        for url in Path(self.urls).read_text().splitlines():
            yield {"image_urls": [url]}


def main(urls: str, folder: str, requests: str) -> None:
    process = CrawlerProcess(
        {
            "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1},
            "IMAGES_STORE": folder,
            "CONCURRENT_REQUESTS": int(requests),
            "CONCURRENT_REQUESTS_PER_DOMAIN": int(requests),
            "DOWNLOAD_DELAY": 0,
            "ROBOTSTXT_OBEY": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "ERROR",
        }
    )
    crawler = process.create_crawler(ListSpider)
    process.crawl(crawler, urls=urls)
    process.start()
    print(json.dumps({"seconds": crawler.stats.get_value("elapsed_time_seconds")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
