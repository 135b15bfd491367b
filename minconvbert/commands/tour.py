"""`python -m minconvbert`: the learned weights at work."""

from ..files import SHIPPED
from .detect import show_detect
from .fill_mask import show_fill_mask

MASKED = ("In order [MASK] do this, you will need a computer.", "The Supreme [MASK] ruled that the law was wrong.",
          "She opened the [MASK] and looked out into the garden.")
REPLACED = ("They was very tired.", "In order of do this, you need a computer.",
            "The old man walked slowly to the molecule and sat down.")


def main(argv):
    """Print the examples."""
    print("ConvBERT-tiny, pretrained by this package in NumPy.\n\nThe generator fills masks:\n")
    for text in MASKED:
        show_fill_mask(text, SHIPPED)
    print("\nThe discriminator flags words that do not belong:\n")
    for text in REPLACED:
        show_detect(text, SHIPPED)
    print("\nTo see its learned kernels beside its attention maps:\n")
    print('    python -m minconvbert view "The bank of the river was steep." --out view.html\n')
    print("All commands: python -m minconvbert --help")
    return 0
