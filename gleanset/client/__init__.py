"""Gleanset from Python: jobs on a server or on this machine, and datasets to go through.

    from gleanset.client import Client

    with Client("https://gleanset.example.org", "gls_...") as client:
        for image, label, metadata in client.load("coast/lighthouses"):
            ...

See docs/client.md.
"""

from gleanset.client.client import Client, load
from gleanset.client.dataset import Batch, Dataset, Sample
from gleanset.client.http import Patience
from gleanset.client.local import LocalServer
from gleanset.client.values import (
    Change,
    Comparison,
    CrawlJob,
    Decided,
    Decision,
    ExportJob,
    Image,
    Link,
    Progress,
    Project,
    RuleChange,
    Summary,
    ValidationJob,
    Verdict,
)

__all__ = [
    "Batch",
    "Change",
    "Client",
    "Comparison",
    "CrawlJob",
    "Dataset",
    "Decided",
    "Decision",
    "ExportJob",
    "Image",
    "Link",
    "LocalServer",
    "Patience",
    "Progress",
    "Project",
    "RuleChange",
    "Sample",
    "Summary",
    "ValidationJob",
    "Verdict",
    "load",
]
