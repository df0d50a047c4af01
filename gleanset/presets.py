"""Rules for whoever does not want to choose each: three sets, whose reasons docs/rules.md tells."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "lenient": {
            "min_width": 64,
            "min_height": 64,
            "min_aspect_ratio": 0.2,
            "max_aspect_ratio": 5.0,
            "min_brightness": 0.02,
            "max_brightness": 0.99,
            "max_uniformity": 0.98,
        },
        "standard": {
            "min_width": 200,
            "min_height": 200,
            "min_aspect_ratio": 0.33,
            "max_aspect_ratio": 3.0,
            "min_sharpness": 50.0,
            "min_contrast": 0.05,
            "min_brightness": 0.08,
            "max_brightness": 0.95,
            "max_uniformity": 0.9,
            "near_duplicate_distance": 31,
        },
        "strict": {
            "min_width": 400,
            "min_height": 400,
            "min_aspect_ratio": 0.5,
            "max_aspect_ratio": 2.0,
            "min_sharpness": 100.0,
            "min_contrast": 0.1,
            "min_brightness": 0.15,
            "max_brightness": 0.85,
            "min_entropy": 5.0,
            "max_uniformity": 0.7,
            "max_border": 0.1,
            "greyscale": False,
            "animated": False,
            "alpha": False,
            "require_attribution": True,
            "near_duplicate_distance": 31,
        },
    }
)
"""Rules as `Rules.parse` takes them, by the preset's name."""
