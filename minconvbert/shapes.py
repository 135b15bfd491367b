"""Named sizes, and the ways to move between the levels of a flat dict.

The letters used throughout:

    B  sequences in a batch         V  words in the vocabulary
    L  tokens in a sequence         E  width of the embeddings
    D  width of the hidden states   F  width of the feed-forward layer
    T  tokens that attend: all L, or a block of them
    H  attention heads, and as many convolution heads (half of `num_attention_heads` at head ratio 2)
    Dh width of one head            K  taps of a convolution kernel
    G  groups of a grouped linear   N  labels, or choices
    A  width of all heads of a kind
    I  inputs of a linear map       O  outputs of a linear map
"""

import re
from functools import cache


@cache
def letters_of(spec):
    """The arrays of a `dims` line and their letters: [("x", ["B", "L", "D"]), ("weight", ["O", "D"])]"""
    return [(name, letters.split()) for name, letters in re.findall(r"(\w+)\[(.*?)\]", spec)]


def dims(spec, *arrays):
    """Check that arrays have the shapes that `spec` says; return the sizes of its letters, in order.

        B, L, D, O = dims("x[B L D], weight[O D]", x, weight)

    A leading `...` stands for any axes at all, the same in every array. A number stands for itself.

    Raises ValueError if a shape does not fit, TypeError if something is not an array or floats have two widths.
    """
    sizes, seen_in, floats = {}, {}, {}
    for (name, letters), array in zip(letters_of(spec), arrays, strict=True):
        shape = getattr(array, "shape", None)
        if shape is None:
            raise TypeError(f"{name} must be a NumPy array, but is {type(array).__name__}; use np.array")
        if letters[:1] == ["..."]:
            cut = max(0, len(shape) - len(letters) + 1)
            shape = (shape[:cut], *shape[cut:])
        fits, why = len(shape) == len(letters), ""
        for letter, size in zip(letters, shape) if fits else ():
            known = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if size != known:
                fits, why = False, f" with {letter} = {known} as in {seen_in[letter]}" if letter in seen_in else ""
                break
            seen_in.setdefault(letter, name)
        if not fits:
            want = ", ".join(letters) + ("," if len(letters) == 1 and letters != ["..."] else "")
            raise ValueError(f"{name} must be ({want}){why}, but its shape is {array.shape}")
        if array.dtype.kind == "f":
            floats[name] = array.dtype
    if len(set(floats.values())) > 1:
        mix = ", ".join(f"{name} is {dtype}" for name, dtype in floats.items())
        raise TypeError(f"floats of two widths: {mix}; use astype on one of them")
    sizes.pop("...", None)
    return tuple(sizes.values())


def sub(tensors, prefix):
    """The entries whose names begin with `prefix.`, with that cut off. No array is copied."""
    cut = len(prefix) + 1
    return {name[cut:]: t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def take(tensors, prefix):
    """Like `sub`, but the entries leave `tensors`, so their memory is free as soon as the caller has read them."""
    names = [name for name in tensors if name.startswith(f"{prefix}.")]
    return {name[len(prefix) + 1 :]: tensors.pop(name) for name in names}


def under(prefix, tensors):
    """The same entries with `prefix.` put before their names; undoes `sub`."""
    return {f"{prefix}.{name}": t for name, t in tensors.items()}


def accumulate(grads, more):
    """Add the gradients of `more` to `grads`, in place: a parameter that is read twice gets the sum of both."""
    for name, gradient in more.items():
        if name in grads:
            grads[name] += gradient
        else:
            grads[name] = gradient
