"""One palette for figures and page.

Maps go from paper to ink (in dark mode, from dark to light) in even steps of lightness, so that they look the same in
grey and to every kind of colour vision. The two kinds of heads are blue and orange, which all eyes tell apart best.
"""

LIGHT = dict(
    paper="#fdfcf9", ink="#1c2530", faint="#5d6773", rule="#d9d6ce", outside="#efece4",
    attention="#1c68a8", convolution="#ad4e06",
    ramp=("#fdfcf9", "#e6efcf", "#bde0bf", "#84c7bd", "#4ba5b9", "#2b7fad", "#24589a", "#22367a", "#141b4d"))
DARK = dict(
    paper="#12161c", ink="#e9e6df", faint="#a3abb5", rule="#2c343e", outside="#1e252e",
    attention="#6cb4f0", convolution="#f5a45b",
    ramp=("#12161c", "#1c2a52", "#24487f", "#2a6a9c", "#3a8fad", "#5fb3b3", "#97d0b4", "#cfe7bd", "#fbf8d9"))
