"""Train a WordPiece vocabulary, or audit one."""

import argparse
import lzma
from collections import Counter, defaultdict

import numpy as np

from .files import write_atomic
from .wordpiece import CHUNK, FAST, normalize, split

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PRINTABLE_ASCII = [chr(c) for c in range(0x21, 0x7f)]


def read_vocab(path):
    return [line.rstrip("\n") for line in open(path, encoding="utf-8")]


def write_vocab(path, tokens):
    write_atomic(path, "".join(f"{token}\n" for token in tokens))


def count_words(lines, lowercase=True, strip_accents=None):
    """How often each word occurs, after normalising and splitting as the tokenizer does."""
    chunks, words = Counter(), Counter()
    for line in lines:
        chunks.update(CHUNK.findall(line))
    for chunk, count in chunks.items():
        normal, _ = normalize(chunk, lowercase, strip_accents)
        for start, end in split(normal):
            words[normal[start:end]] += count
    return words


def train(lines, size, *, lowercase=True, strip_accents=None, score="likelihood", max_alphabet=256, min_count=2,
          max_chars=100, progress=None):
    words = count_words(lines, lowercase, strip_accents)
    return train_on_counts(words, size, lowercase=lowercase, score=score, max_alphabet=max_alphabet,
                           min_count=min_count, max_chars=max_chars, progress=progress)


def alphabet(words, limit, lowercase):
    chars = Counter()
    for word, count in words.items():
        for char in word:
            chars[char] += count
    for char in PRINTABLE_ASCII:
        chars[char.lower() if lowercase else char] += 0
    ascii_first = sorted(chars, key=lambda char: (not char.isascii(), -chars[char], char))
    kept = ascii_first[:limit]
    return sorted(kept, key=lambda char: (-chars[char], char))


def train_on_counts(words, size, *, lowercase=True, score="likelihood", max_alphabet=256, min_count=2, max_chars=100,
                    progress=None, dead=0):
    chars = alphabet(words, max_alphabet, lowercase)
    symbols = [*SPECIAL_TOKENS, *chars, *(f"##{c}" for c in chars if not FAST.is_punctuation(c) and not FAST.is_ideograph(c))]
    if size < len(symbols):
        raise ValueError(f"size must be at least {len(symbols)}, for the special tokens and the alphabet")
    ids = {symbol: i for i, symbol in enumerate(symbols)}
    known = set(chars)

    spelled, counts = [], []
    for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0])):
        if len(word) <= max_chars and known.issuperset(word):
            spelled.append([ids[word[0]], *(ids[f"##{c}"] for c in word[1:])])
            counts.append(count)

    symbol_count = np.zeros(40 * size)
    base = len(symbols)
    alive = lambda: [i for i in range(len(symbols)) if i < base or symbol_count[i] >= dead]
    pair_number, lefts, rights, where = {}, [], [], []
    pair_count = np.zeros(1 << 16)

    def number_of(pair):
        nonlocal pair_count
        number = pair_number.setdefault(pair, len(pair_number))
        if number == len(where):
            lefts.append(pair[0])
            rights.append(pair[1])
            where.append(set())
            if number == len(pair_count):
                pair_count = np.concatenate([pair_count, np.zeros_like(pair_count)])
        return number

    for w, spelling in enumerate(spelled):
        for symbol in spelling:
            symbol_count[symbol] += counts[w]
        for pair in zip(spelling, spelling[1:]):
            number = number_of(pair)
            pair_count[number] += counts[w]
            where[number].add(w)

    room = size
    while True:
        if len(symbols) >= room:
            live = alive()
            if len(live) >= size:
                break
            room = len(symbols) + size - len(live)
        P = len(where)
        c = pair_count[:P]
        live = np.flatnonzero(c >= max(min_count, dead))
        if not len(live):
            break
        c = c[live]
        if score == "count":
            value = c
        else:
            left = symbol_count[np.array(lefts)[live]]
            right = symbol_count[np.array(rights)[live]]
            N = symbol_count.sum()
            f = lambda n: n * np.log(np.maximum(n, 1e-300))
            if score == "ratio":
                value = c / (left * right)
            elif score == "exact":
                value = f(c) + f(left - c) - f(left) + f(right - c) - f(right) - f(N - c) + f(N)
            else:
                value = c * np.log(c * N / (left * right))
        best = int(live[np.argmax(value)])
        a, b = lefts[best], rights[best]
        joined = symbols[a] + symbols[b][2:]
        new = ids.get(joined)
        if new is None:
            new = ids[joined] = len(symbols)
            symbols.append(joined)
        for w in sorted(where[best]):
            old, count = spelled[w], counts[w]
            merged, i = [], 0
            while i < len(old):
                if i + 1 < len(old) and old[i] == a and old[i + 1] == b:
                    merged.append(new)
                    i += 2
                    symbol_count[a] -= count
                    symbol_count[b] -= count
                    symbol_count[new] += count
                else:
                    merged.append(old[i])
                    i += 1
            for pair in zip(old, old[1:]):
                number = pair_number[pair]
                pair_count[number] -= count
                where[number].discard(w)
            for pair in zip(merged, merged[1:]):
                number = number_of(pair)
                pair_count[number] += count
                where[number].add(w)
            spelled[w] = merged
        if progress and len(symbols) % 500 == 0:
            progress(len(symbols), size)
    return [symbols[i] for i in alive()]
