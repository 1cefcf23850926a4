"""The least time the baseline was ever seen to take on this kind of machine: undisturbed."""

from __future__ import annotations

from pathlib import Path

from trainables.cache import JsonCache, fingerprint_of, processor
from trainables.engine import describe
from trainables.settings import TrialSettings


class BaselineFloor:
    """Shared by all workers and studies, in the cache: whoever sees the baseline run faster than
    known says so. While it was first timed the machine may have been busy all along."""

    def __init__(self, settings: TrialSettings, fingerprint: str) -> None:
        self._cache = JsonCache(Path(settings.cache_folder) / "undisturbed")
        self._key = fingerprint_of(
            fingerprint,
            settings.latency_batch,
            settings.threads,
            describe("float"),
            processor(),
        )

    @property
    def known_ms(self) -> float | None:
        return self._cache.get(self._key)

    def lower(self, seen_ms: float) -> float:
        """Take in a time seen; return the least of all."""
        known = self.known_ms
        if known is not None and known <= seen_ms:
            return known
        self._cache.put(self._key, seen_ms)
        return seen_ms
