"""The interface of every engine in this room; its words live in `ringlite_cli.samples`, below all rooms."""

from ringlite_cli.samples import (
    OnDone,
    OnProgress,
    Progress,
    Request,
    SampledResponse,
    Sampler,
    SamplingSettings,
    sample_seed,
)

__all__ = [
    "OnDone",
    "OnProgress",
    "Progress",
    "Request",
    "SampledResponse",
    "Sampler",
    "SamplingSettings",
    "sample_seed",
]
