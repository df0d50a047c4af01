"""The tables. `docs/DATABASE_SCHEMA.md` describes each column; `alembic/` creates them."""

from backend.models.activity import ActivityLog
from backend.models.base import Base
from backend.models.chunks import CrawlChunk
from backend.models.crawl_jobs import CrawlJob
from backend.models.enums import ImageOutcome, JobStatus, ProjectStatus, Role
from backend.models.hosts import Host
from backend.models.images import Image
from backend.models.jobs import ExportJob, ValidationJob
from backend.models.profiles import Profile
from backend.models.projects import Project
from backend.models.verdicts import Verdict

__all__ = [
    "ActivityLog",
    "Base",
    "CrawlChunk",
    "CrawlJob",
    "ExportJob",
    "Host",
    "Image",
    "ImageOutcome",
    "JobStatus",
    "Profile",
    "Project",
    "ProjectStatus",
    "Role",
    "ValidationJob",
    "Verdict",
]
