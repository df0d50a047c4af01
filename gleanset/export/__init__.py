"""Exports: one file a format. Every format takes the same entries and writes the same papers beside the images."""

from gleanset.export.base import About, Entry, Packed, Progress
from gleanset.export.zip import pack_zip

__all__ = ["FORMATS", "About", "Entry", "Packed", "Progress"]

FORMATS = {"zip": pack_zip}
