"""The tables. `docs/DATABASE_SCHEMA.md` describes each column; `alembic/` creates them."""

from backend.models.accounts import ApiKey, Credential, IdempotencyKey, LoginFailure, LoginLink, LoginSession
from backend.models.activity import ActivityLog
from backend.models.base import Base
from backend.models.chunks import CrawlChunk
from backend.models.crawl_jobs import CrawlJob
from backend.models.decisions import Decision, ErasedBlob, Takedown
from backend.models.enums import Choice, ImageOutcome, JobStatus, ProjectStatus, Role
from backend.models.hosts import Host
from backend.models.images import Image
from backend.models.jobs import ExportJob, ValidationJob
from backend.models.profiles import Profile
from backend.models.projects import Project
from backend.models.splits import ExportSplit
from backend.models.verdicts import Verdict

__all__ = [
    "ActivityLog",
    "ApiKey",
    "Base",
    "Choice",
    "CrawlChunk",
    "CrawlJob",
    "Credential",
    "Decision",
    "ErasedBlob",
    "ExportJob",
    "ExportSplit",
    "Host",
    "IdempotencyKey",
    "Image",
    "ImageOutcome",
    "JobStatus",
    "LoginFailure",
    "LoginLink",
    "LoginSession",
    "Profile",
    "Project",
    "ProjectStatus",
    "Role",
    "Takedown",
    "ValidationJob",
    "Verdict",
]
