"""How people and programs prove who they are. Of every secret only a hash is kept."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.models.base import Base

if TYPE_CHECKING:
    from backend.models.profiles import Profile


class Credential(Base):
    """A password, as argon2 hashed it. People whom an identity provider vouches for have none."""

    __tablename__ = "credentials"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    password_hash: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())

    user: Mapped[Profile] = relationship(back_populates="credential")


class LoginSession(Base):
    """A browser that is logged in. `token_hash` is the SHA-256 of what its cookie says.

    Who came `by_link` may choose a password without knowing the one before.
    """

    __tablename__ = "sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    user_agent: Mapped[str | None]
    by_link: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    user: Mapped[Profile] = relationship(back_populates="sessions")

    __table_args__ = (Index("ix_sessions_user_id", "user_id"),)


class LoginLink(Base):
    """A link that logs in once, as Jupyter prints one. Using it deletes the row."""

    __tablename__ = "login_links"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    user: Mapped[Profile] = relationship(back_populates="login_links")

    __table_args__ = (Index("ix_login_links_user_id", "user_id"),)


class LoginFailure(Base):
    """A log-in that failed, once under its account and once under its address, so that both can be throttled."""

    __tablename__ = "login_failures"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    key: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_login_failures_key_at", "key", "at"),)


class ApiKey(Base):
    """A key for programs. `prefix` is its readable beginning, by which a person knows it again."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(20))
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    user: Mapped[Profile] = relationship(back_populates="api_keys")

    __table_args__ = (Index("ix_api_keys_user_id", "user_id"),)


class IdempotencyKey(Base):
    """What a request that may be sent twice has made the first time."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    resource_type: Mapped[str] = mapped_column(String(50))
    resource_id: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    user: Mapped[Profile] = relationship(back_populates="idempotency_keys")
