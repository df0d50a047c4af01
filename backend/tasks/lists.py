"""Before a job is planned: its lists are brought to where every worker can read them."""

from __future__ import annotations

from collections.abc import Callable

from backend.config import Settings
from backend.schemas.plans import CrawlPlan, UrlList
from gleanset.fetch import Fetcher
from gleanset.sources.copies import readable_everywhere
from gleanset.store import Store


async def copy_lists(settings: Settings, plan: CrawlPlan, tell: Callable[[str], None]) -> CrawlPlan:
    """The plan with copies in the image store of the lists that are remote or compressed. Raises SourceError.

    `tell` hears of each that is remote, since that takes time.
    """
    if not plan.lists:
        return plan
    store = Store(settings.store_place)
    folder = settings.home / "tmp"
    options = settings.fetch_options(allow_private=plan.allow_private, own_hosts=plan.own_hosts)
    copied: list[UrlList] = []
    async with Fetcher(options) as fetcher:
        for given in plan.lists:
            if given.path == given.key:  # uploaded, so there is no other place to copy it from
                copied.append(given)
                continue
            if "://" in given.path:
                tell(f"Copying the list {given.path} into the image store.")
            file = await readable_everywhere(given.path, fetcher, store, folder, settings.max_list_bytes)
            copied.append(given.model_copy(update={"key": file.key}))
    return plan.model_copy(update={"lists": copied})
