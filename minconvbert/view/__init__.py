"""Draw learned kernels beside attention maps: what each word takes from its sentence, in either kind of head."""

from .figures import (
    all_heads,
    distances,
    kernel_over_words,
    matrix,
    one_token,
    overview,
    profile,
    save,
    side_by_side,
    two_contexts,
)
from .interactive import Page, page
from .locality import entropy, kernel_band, local_mass, mass_by_offset, mean_distance, over_tokens, padded_band
from .look import look

__all__ = [
    "Page", "all_heads", "distances", "entropy", "kernel_band", "kernel_over_words", "local_mass", "look",
    "mass_by_offset", "matrix", "mean_distance", "one_token", "over_tokens", "overview", "padded_band", "page",
    "profile", "save", "side_by_side", "two_contexts"]
