"""The engine's one error tree.

    GleansetError
    ├── SourceError             a source cannot answer: bad query, bad key, service down, list unreadable
    │   └── UnknownSource
    ├── OutcomeError            one image cannot be had; carries a Reason and becomes an outcome
    │   ├── FetchFailed         the world said no: DNS, timeout, 404 ...
    │   └── ImageRefused        we said no: private address, too large, not an image ...
    ├── RuleError               a validation rule is unknown, malformed or contradicts another
    ├── StoreError              a blob cannot be written or read
    └── ExportError             a dataset cannot be packed
        ├── NotAnExport         what was given to be read is no dataset, or cannot be had
        └── ExportDamaged       a packed dataset cannot be read to its end

Foreign exceptions are mapped to these where they arise; nothing else leaves the engine on purpose.
Messages are whole sentences for a person: what happened, and what to do where that is known.
"""

from __future__ import annotations

from gleanset.types import Reason


class GleansetError(Exception):
    """Base of every error the engine raises on purpose."""


class SourceError(GleansetError):
    """A source of candidates cannot answer. `retryable` says whether asking again later may help."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class UnknownSource(SourceError):
    """No source has this name."""


class OutcomeError(GleansetError):
    """One image cannot be had, for a known reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class FetchFailed(OutcomeError):
    """The other side, or the way to it, did not give the image."""


class ImageRefused(OutcomeError):
    """Gleanset itself declined the image, before or after reading it."""


class RuleError(GleansetError):
    """A validation rule is unknown, malformed or contradicts another."""


class StoreError(GleansetError):
    """A blob cannot be written or read."""


class ExportError(GleansetError):
    """A dataset cannot be packed."""


class NotAnExport(ExportError):
    """What was given to be read is no packed dataset, or cannot be had at all."""


class ExportDamaged(ExportError):
    """A packed dataset cannot be read to its end: cut off, altered, or built to do harm."""
