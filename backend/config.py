"""Settings: the only reader of the environment.

Every setting is `GLEANSET_` and its name in capitals; the database may also be given by the usual `DATABASE_URL`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gleanset.fetch import FetchOptions, user_agent
from gleanset.sources import SOURCES, SourceOptions
from gleanset.types import Pace


class Settings(BaseSettings):
    """What an operator can set. The defaults are for one person on one machine."""

    model_config = SettingsConfigDict(env_prefix="GLEANSET_", populate_by_name=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("gleanset"),
        description="Folder of the embedded database, the image store and the exports.",
    )
    database_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("GLEANSET_DATABASE_URL", "DATABASE_URL", "database_url"),
        description="A PostgreSQL server (15 or newer) to use instead of the embedded one.",
    )
    store_url: str | None = Field(
        default=None, description="Where image bytes live: a folder or s3://bucket/prefix. Default: HOME/images."
    )
    contact: str | None = Field(
        default=None, description="URL or e-mail put into the User-Agent, so that a site's owner can reach you."
    )
    per_host: int = Field(default=4, ge=1, description="Requests at once to one host.")
    interval: float = Field(
        default=0.05, ge=0, le=3600, description="Seconds from the start of one request to a host to the next."
    )
    window: int = Field(default=64, ge=1, description="Images in flight at once in one chunk.")
    batch: int = Field(
        default=1000, ge=1, description="Most images recorded in one transaction; two a second at least."
    )
    chunks_at_once: int = Field(default=4, ge=1, description="Chunks that one worker process runs at once.")
    decoders: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Processes that decode images of crawls, and copy or resize those of exports, a worker.",
    )
    timeout: float = Field(
        default=60.0, gt=0, description="Seconds on the network for one image, its redirects and retries together."
    )
    patience: float = Field(
        default=1200.0,
        ge=0,
        description="Seconds for which a host that asks for quiet, or answers no more, is waited for.",
    )
    max_bytes: int = Field(default=32 * 1024 * 1024, ge=1, description="Largest image file that is read.")
    max_pixels: int = Field(default=100_000_000, ge=1, description="Largest image that is decoded.")
    rows_per_chunk: int = Field(default=10_000, ge=1, description="Rows of a URL list in one chunk.")
    max_list_bytes: int = Field(
        default=16 * 1024**3, ge=1, description="Longest list of URLs that is fetched or unpacked."
    )
    max_upload_bytes: int = Field(
        default=100 * 1024**2, ge=1, description="Longest list of URLs that is uploaded, also when unpacked."
    )
    hosts: dict[str, str] = Field(default_factory=dict, description="Fixed host names, as in /etc/hosts (JSON).")
    source_urls: dict[str, str] = Field(
        default_factory=dict, description="Other addresses of sources' services, by source (JSON)."
    )
    source_keys: dict[str, str] = Field(
        default_factory=dict, repr=False, description="Keys of sources, by source (JSON)."
    )
    heartbeat: float = Field(
        default=2.0, gt=0, description="Seconds between signs of life of a worker; five missed mean it is dead."
    )
    export_days: int = Field(default=7, ge=1, description="Days until an export expires and its file is deleted.")
    deleted_days: int = Field(
        default=7, ge=1, description="Days for which a deleted project can be restored; then it is removed for good."
    )
    orphan_hours: int = Field(
        default=24, ge=1, description="Hours after which files that belong to no image or export are deleted."
    )
    request_key_hours: int = Field(default=24, ge=1, description="Hours for which an Idempotency-Key is remembered.")
    queue_days: int = Field(default=7, ge=1, description="Days for which ended tasks stay in the queue's tables.")

    download_grace: int = Field(
        default=20, ge=0, description="Seconds that downloads under way have to end when the web stops."
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="What signs links to downloads, 32 characters or more, the same for all web processes. "
        "Default: made once, HOME/secret.",
    )
    accounts: Literal["local", "team"] = Field(
        default="local", description="One owner who logs in by a link (local), or people with accounts (team)."
    )
    failures_per_account: int = Field(
        default=10, ge=1, description="Failed log-ins of one account in 15 minutes before it has to wait."
    )
    failures_per_address: int = Field(
        default=50, ge=1, description="Failed log-ins from one address in 15 minutes before it has to wait."
    )

    oidc_issuer: str | None = Field(
        default=None, description="Identity provider whose tokens count beside API keys: their `iss`, to the letter."
    )
    oidc_audience: str | None = Field(
        default=None, validate_default=True, description="For whom those tokens have to be made: their `aud`."
    )
    oidc_jwks_url: str | None = Field(
        default=None, description="Where the provider's public keys are. Default: ISSUER/.well-known/jwks.json."
    )

    max_running_jobs: int | None = Field(
        default=None,
        ge=1,
        description="Crawls, validations and exports a person may have under way at once; any number when not set.",
    )
    max_images_per_user: int | None = Field(
        default=None, ge=1, description="Images that one person may have; any number when not set."
    )
    max_bytes_per_user: int | None = Field(
        default=None,
        ge=1,
        description="Bytes of images and exports at which one's jobs end and none start; any number when not set.",
    )

    trusted_proxies: str | None = Field(
        default=None,
        description="Addresses and networks of reverse proxies, by commas, whose X-Forwarded-For and -Proto count.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="How lines of the log look: text or json.")
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None,
        description="From what on is logged. Default: info for serve and worker, warning for up, error elsewhere.",
    )

    @field_validator("contact")
    @classmethod
    def _in_one_line(cls, value: str | None) -> str | None:
        """It goes into a header."""
        if value is not None and not value.isprintable():
            raise ValueError("it has to be one line, such as ada@example.org")
        return value

    @field_validator("source_urls")
    @classmethod
    def _services(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            if name not in SOURCES or SOURCES[name].url is None:
                raise ValueError(f"there is no source {name!r} with a service; see `gleanset sources`")
            if not _is_address(url):
                raise ValueError(f"{name} needs an address that begins with https:// or http://")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str | None) -> str | None:
        for network in value.split(",") if value else ():
            ip_network(network.strip(), strict=False)
        return value

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _guarded(cls, value: str | None) -> str | None:
        """Whoever could change the keys on their way could be anybody here."""
        parts = urlsplit(value) if value else None
        if parts is not None and not (parts.hostname and parts.scheme == "https"):
            own = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
            if not own:
                raise ValueError("it has to be an address that begins with https://")
        return value

    @field_validator("oidc_audience")
    @classmethod
    def _for_whom(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A token that was made for another application must not open this one."""
        if not value and info.data.get("oidc_issuer"):
            raise ValueError("GLEANSET_OIDC_ISSUER needs it too")
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def store_place(self) -> str:
        return self.store_url or str(self.home / "images")

    @property
    def exports(self) -> Path:
        return self.home / "exports"

    @property
    def indexes(self) -> Path:
        return self.home / "indexes"

    @property
    def sources(self) -> SourceOptions:
        return SourceOptions(urls=self.source_urls, keys=self.source_keys, store=self.store_place, contact=self.contact)

    def fetch_options(self, *, allow_private: bool, own_hosts: Iterable[str]) -> FetchOptions:
        return FetchOptions(
            user_agent=user_agent(self.contact),
            pace=Pace(self.per_host, self.interval),
            paces=self._paces(),
            own_hosts=frozenset(own_hosts),
            total_timeout=self.timeout,
            patience=self.patience,
            max_bytes=self.max_bytes,
            allow_private=allow_private,
            hosts=self.hosts,
        )

    def _paces(self) -> dict[str, Pace]:
        """What the sources know of the pace of their services' hosts and of those that they send to."""
        paces: dict[str, Pace] = {}
        for info in SOURCES.values():
            paces |= info.media
            host = urlsplit(info.url_in(self.sources)).hostname if info.url else None
            if host and info.pace:
                paces[host] = info.pace
        return paces


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
