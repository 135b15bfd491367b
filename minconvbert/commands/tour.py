"""`python -m minconvbert`: the learned weights at work."""

from ..faces.pretrained import load_discriminator, load_generator, replaced_pieces, words_of_masks
from ..files import SHIPPED
from .fill_mask import show_filled

MASKED = ("They have [MASK] waiting for an hour.", "She looked [MASK] of the window.",
          "In the nineteenth [MASK], many people moved to cities.",
          "The brain and the spinal [MASK] form the central nervous system.", "The capital of France is [MASK].")
PAIRS = (("I don't know.", "I don't knew."), ("This is a book about the war.", "This is an book about the war."),
         ("It depends on the price.", "It depends of the price."), ("I have gone home.", "I have went home."),
         ("The heart pumps blood through the body.", "The kidney pumps blood through the body."))


def show_pair(right, wrong, discriminator):
    """Print two sentences that differ in one piece, each with how likely it is that this piece was replaced."""
    answers = [replaced_pieces(text, *discriminator) for text in (right, wrong)]
    (pieces, _), (others, _) = answers
    at = [piece == other for piece, other in zip(pieces, others)].index(False)
    for text, (pieces, probs) in zip((right, wrong), answers):
        print(f"    {text:<42} {pieces[at]} {probs[at]:.0%}")


def main(argv):
    """Print the examples."""
    print("ConvBERT-tiny, pretrained by this package in NumPy.\n\nThe generator fills masks:\n")
    generator, discriminator = load_generator(SHIPPED), load_discriminator(SHIPPED)
    for text in MASKED:
        show_filled(text, words_of_masks(text, *generator))
    print("\nThe discriminator says how likely it is that a word was replaced. The wrong word should get more:\n")
    for right, wrong in PAIRS:
        show_pair(right, wrong, discriminator)
    print("\nThe last example of each kind is wrong: so small a model learns which words go together, but few facts.")
    print("\nTo see its learned kernels beside its attention maps:\n")
    print('    python -m minconvbert view "The bank of the river was steep." --out view.html\n')
    print("All commands: python -m minconvbert --help")
    return 0
