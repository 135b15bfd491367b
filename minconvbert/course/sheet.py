"""The cheat sheet: letters, formulas and backward rules on one page, as SVG or PDF."""

from pathlib import Path

from ..files import atomic_path
from ..view.palette import LIGHT

LETTERS = """B | sentences in a batch | L | tokens in a sentence | D | numbers for a token (hidden size)
H | heads of one kind | Dh | numbers in a head: 2 H Dh = D | K | taps of a kernel, odd
E | numbers in the embeddings | F | numbers in the feed-forward | G | groups of a grouped linear map
V | words in the vocabulary | N | labels or choices | A | H Dh, the width of one half
P | positions in the table | I, O | inputs, outputs of a linear map | dx | gradient of the loss by x"""

FORWARD = """layer norm | y = (x − mean) / √(variance + ε) · weight + bias | over the last axis
softmax | y = exp(x − max) / sum | over the last axis
GELU | y = x Φ(x),   Φ(x) = (1 + erf(x / √2)) / 2
attention | softmax(q kᵀ / √Dh + bias) v | (B, H, L, L) weights
convolution | out[t] = Σⱼ kernel[j] x[t + j − K // 2],  zeros outside | the one sum
  depthwise | kernel: a parameter (D, 1, K)
  dynamic | kernel = softmax(W query + b), one for each token and head | (B, L, H, K)
  span-based | kernel = softmax(W (query ⊙ span key) + b),  span key = pointwise(depthwise(x))
mixed block | out = [attention(q, k, v), span-based convolution(x, q)] | (B, L, 2 H Dh)
layer | a = LN(x + dense(mixed(x)));   out = LN(a + dense(gelu(dense(a))))
pretraining | 1 · mean −log p(word), over the places + 50 · mean log(1 + eᶻ) − z · replaced, over all tokens
Adam | m ← 0.9 m + 0.1 g,  v ← 0.999 v + 0.001 g²,  x ← x − rate (m / (√v + ε) + decay x)"""

BACKWARD = """linear | dx = dy W   dW = dyᵀ x   db = Σ dy | sums over the rows
product u ⊙ v | du = dz ⊙ v   dv = dz ⊙ u
used twice | the gradients are added
side by side | dout is cut at the same place; a reshape is undone
softmax | dx = y (dy − Σ y dy) | takes its output
layer norm | dn = dy · weight;   dx = (dn − mean(dn) − n · mean(dn · n)) / √(variance + ε)
GELU | dx = dy (Φ(x) + x φ(x)),   φ(x) = exp(−x²/2) / √(2π)
look-up | dtable[id] = sum of the dy of its occurrences; padding: 0
convolution | dpadded[j : j + L] += kernel[j] dout;   dkernel[j] = Σ dout · padded[j : j + L]
dropout, hide | dx = dy · mask | its own backward
cross-entropy | dlogits = (softmax − one-hot) dloss / count;  0 where ignored
binary | dz = (sigmoid(z) − wanted) dloss / count
check | (loss(x + h v) − loss(x − h v)) / 2h = dx · v,  h = 1e-6, float64, random dout: never ones"""

# Where the columns of each part begin, as shares of the width.
PARTS = (("Letters", LETTERS, "ink", (0.04, 0.07, 0.34, 0.39, 0.67, 0.70)),
         ("Forward", FORWARD, "attention", (0.04, 0.17, 0.79)),
         ("Backward", BACKWARD, "convolution", (0.04, 0.17, 0.79)))


def draw():
    """The page as a matplotlib figure."""
    import matplotlib.pyplot as plt
    figure = plt.figure(figsize=(11.69, 8.27), facecolor=LIGHT["paper"])       # A4, landscape
    figure.text(0.04, 0.96, "ConvBERT on one page", fontsize=17, color=LIGHT["ink"], va="top")
    top = 0.9
    for title, text, colour, columns in PARTS:
        figure.text(0.04, top, title, fontsize=12, color=LIGHT[colour], va="top", weight="bold")
        top -= 0.033
        for line in text.splitlines():
            for x, cell in zip(columns, line.split(" | ")):
                figure.text(x, top, cell, fontsize=9.5, color=LIGHT["ink"], va="top", family="DejaVu Sans Mono")
            top -= 0.0232
        top -= 0.016
    return figure


def save(path):
    """Write the sheet as .svg or .pdf.   Raises ValueError for another ending."""
    kind = Path(path).suffix[1:].lower()
    if kind not in ("svg", "pdf"):
        raise ValueError(f"the sheet must be written to a .svg or a .pdf file, but the name is {Path(path).name!r}")
    with atomic_path(path) as temporary:
        draw().savefig(temporary, format=kind)
