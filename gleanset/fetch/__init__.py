"""Guarded, polite HTTP: every byte Gleanset reads from the network comes through `Fetcher`."""

from gleanset.fetch.client import Fetcher
from gleanset.fetch.conditions import Conditions, validators
from gleanset.fetch.options import FetchOptions, user_agent
from gleanset.fetch.wire import Response

__all__ = ["Conditions", "FetchOptions", "Fetcher", "Response", "user_agent", "validators"]
