"""Guarded, polite HTTP: every byte Gleanset reads from the network comes through `Fetcher`."""

from gleanset.fetch.client import Fetcher, FetchOptions, Response

__all__ = ["FetchOptions", "Fetcher", "Response"]
