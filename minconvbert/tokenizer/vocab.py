"""Read, write, train and audit vocabularies of word pieces.

Training follows Schuster and Nakajima, "Japanese and Korean Voice Search" (2012). It begins with the characters, and
again and again joins the two neighbours whose union raises the likelihood of the text the most.
"""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..files import check_ordinary, model_path, refuse_pointer, write_atomic
from .wordpiece import CHUNK, FAST, PREFIX, match, normalize, split

ALPHABET = 256                                         # characters that a vocabulary has room for, at least
COVERAGE = 0.9995                                      # the share of a text's characters that it covers, at least
UNKNOWN = 0.02                                         # the share of [UNK] above which a vocabulary does not fit a text
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# Scores of a pair of neighbours a, b. Among n pieces, they are n_ab times neighbours, and occur n_a and n_b times.
#
# If every piece is drawn independently, log-likelihood is the sum of n_i log(n_i / n) over the vocabulary, and joining
# a and b raises it by about n_ab log(n_ab n / (n_a n_b)). The ratio alone, often given as WordPiece's score, is the
# gain of one occurrence. It joins the rarest letters first and never reaches the words. With 8,192 tokens learned from
# 20 MB, held-out text takes 1.166 pieces a word by likelihood (`min_count` 40), 1.162 by count (30), and 3.38 by the
# ratio.
SCORES = {
    "likelihood": lambda n_ab, n_a, n_b, n: n_ab * np.log(n_ab * n / (n_a * n_b)),
    "ratio": lambda n_ab, n_a, n_b, n: n_ab / (n_a * n_b),
    "count": lambda n_ab, n_a, n_b, n: n_ab,  # byte-pair encoding
}


def vocab_file(path):
    """The file of a vocabulary. A folder, or the name of the weights that ship, means the vocab.txt inside it."""
    path = model_path(path)
    return path / "vocab.txt" if path.is_dir() else path


def read_vocab(path):
    """The tokens of a file, one a line, with any line ends, without a byte order mark.

    Raises ValueError if the file is not UTF-8.
    """
    path = vocab_file(path)
    check_ordinary(path)
    with open(path, "rb") as file:
        refuse_pointer(path, file.read(64))
    try:
        with open(path, encoding="utf-8-sig") as lines:
            return [line.rstrip("\n") for line in lines]
    except UnicodeDecodeError as error:
        raise ValueError(f"a vocabulary must be UTF-8, but {path} is not: {error}") from None


def write_vocab(path, tokens):
    """Write the tokens, one a line. Raises ValueError if a token has a line break in it."""
    broken = [token for token in tokens if "\n" in token or "\r" in token]
    if broken:
        raise ValueError(f"a token must be on one line, but {broken[0]!r} is not")
    write_atomic(path, "".join(f"{token}\n" for token in tokens))


def count_words(lines, lowercase=True, strip_accents=None):
    """word -> how often it occurs in the lines, as the fast tokenizer normalizes and splits them"""
    chunks, words = Counter(), Counter()
    for line in lines:
        chunks.update(CHUNK.findall(line))
    for chunk, count in chunks.items():
        normal, _ = normalize(chunk, FAST, lowercase, strip_accents)
        for start, end in split(normal):
            words[normal[start:end]] += count
    return words


def train(lines, size, *, lowercase=True, strip_accents=None, **options):
    """Train on the words of a text.   lines: of the text; options: those of `train_on_counts`"""
    return train_on_counts(count_words(lines, lowercase, strip_accents), size, lowercase=lowercase, **options)


def train_on_counts(words, size, *, lowercase=True, score="likelihood", max_alphabet=None, min_count=2, smaller=False,
                    progress=None):
    """-> a vocabulary of `size` tokens: special tokens; characters that begin a word, and inside one; joined pieces

    words: word -> how often it occurs. max_alphabet: the limit of `alphabet`. min_count: how often a piece must occur
    in the end; a piece that is almost always joined further, such as `undoub` in `undoubted`, makes room for others.
    smaller: accept fewer tokens if the text has no more. progress: called with the number of tokens so far. The same
    words always give the same vocabulary.

    Raises ValueError if `size` is smaller than the alphabet, or the text is too small for `size`.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, but is {score!r}")
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, because a piece must occur, but is {min_count}")
    chars = alphabet(words, max_alphabet, lowercase)
    base = [*SPECIAL_TOKENS, *chars, *(
        PREFIX + char for char in chars if not FAST.is_punctuation(char) and not FAST.is_ideograph(char))]
    if size < len(base):
        raise ValueError(f"size must be at least {len(base)}, for the special tokens and {len(chars)} characters, but"
                         f" is {size}: make it larger, or max_alphabet smaller")
    spellings = Spellings(words, base)
    kept = len(base)
    while kept < size:
        pair = spellings.best(SCORES[score], min_count)
        if pair is None and not smaller:
            raise ValueError(_too_small(words, base, size, min_count, kept))
        if pair is None:
            break
        kept += spellings.join_all(pair, min_count)
        if progress:
            progress(kept)
    return spellings.frequent(min_count)


def _too_small(words, base, size, min_count, kept):
    lacking = unknown(words, base)
    why = "use that size, a smaller min_count, or more text"
    if lacking.share > UNKNOWN:
        why = (f"its alphabet leaves out {lacking.share:.0%} of the words, so make max_alphabet larger than"
               f" {sum(len(token) == 1 for token in base)}")
    return f"the text is too small for {size} tokens that occur {min_count} times: it gives {kept}; {why}"


class Unknown(NamedTuple):
    """What a vocabulary does not know of a text."""

    share: float                # the share of the words that become [UNK]
    words: list                 # these words, the most frequent first
    chars: list                 # characters that the vocabulary lacks, the most frequent first

    def __str__(self):
        said = f"{self.share:.2%} of the words of the text are [UNK]"
        if self.words:
            said += f", such as {', '.join(word[:20] for word in self.words[:3])}"
        if self.chars:
            said += f"; the vocabulary lacks {len(self.chars):,} characters, such as {' '.join(self.chars[:12])}"
        return said


def unknown(words, tokens):
    """Find the words that become [UNK].   words: word -> how often it occurs   ->  Unknown"""
    vocab = set(tokens)
    known = {token.removeprefix(PREFIX) for token in vocab}
    lost = Counter({word: count for word, count in words.items() if not match(word, vocab)})
    chars = Counter()
    for word, count in lost.items():
        for char in set(word) - known:
            chars[char] += count
    in_order = lambda counts: sorted(counts, key=lambda key: (-counts[key], key))
    return Unknown(lost.total() / max(1, sum(words.values())), in_order(lost), in_order(chars))


def alphabet(words, limit=None, lowercase=True):
    """-> the characters of the words, most frequent first; printable ASCII is always among them

    limit: how many at most; None means ALPHABET, or as many as cover COVERAGE of the text if these are more.
    """
    chars = Counter({chr(c).lower() if lowercase else chr(c): 0 for c in range(0x21, 0x7f)})
    for word, count in words.items():
        for char in word:
            chars[char] += count
    by_count = lambda char: (-chars[char], char)
    if limit is None:
        reached = np.cumsum([chars[char] for char in sorted(chars, key=by_count)])
        limit = max(ALPHABET, int(np.searchsorted(reached, COVERAGE * reached[-1])) + 1)
    kept = sorted(chars, key=lambda char: (not char.isascii(), *by_count(char)))[:limit]
    return sorted(kept, key=by_count)


def join(spelling, a, b, new):
    """`spelling` with `new` in place of every a that is followed by b"""
    out, i = [], 0
    while i < len(spelling):
        if spelling[i] == a and spelling[i + 1:i + 2] == [b]:
            out.append(new)
            i += 2
        else:
            out.append(spelling[i])
            i += 1
    return out


class Grown:
    """An array of numbers that grows when an index beyond its end is used."""

    def __init__(self, dtype=np.float64):
        self.values = np.zeros(1024, dtype)

    def add(self, i, number):
        while i >= len(self.values):
            self.values = np.concatenate([self.values, np.zeros_like(self.values)])
        self.values[i] += number

    def __getitem__(self, i):
        return self.values[i] if i < len(self.values) else 0


class Spellings:
    """The words of a text as rows of tokens, which grow as neighbours are joined."""

    def __init__(self, words, base):
        self.tokens, self.base = list(base), len(base)  # the first `base` are kept, however rare
        self.ids = {token: i for i, token in enumerate(base)}
        self.spelled, self.counts = [], []
        self.token_count, self.pairs = Grown(), Pairs()
        for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0])):
            parts = [word[0], *(PREFIX + char for char in word[1:])]
            if all(part in self.ids for part in parts):
                self._append([self.ids[part] for part in parts], count)

    def _append(self, spelling, count):
        self.pairs.add(len(self.spelled), spelling, count)
        self.spelled.append(spelling)
        self.counts.append(count)
        for token in spelling:
            self.token_count.add(token, count)

    def best(self, score, min_count):
        """-> the pair of neighbours with the highest score, or None"""
        return self.pairs.best(score, self.token_count.values, min_count)

    def join_all(self, pair, min_count):
        """Join a pair wherever it occurs -> how many more tokens occur `min_count` times now"""
        a, b = pair
        joined = self.tokens[a] + self.tokens[b][len(PREFIX):]
        new = self.ids.setdefault(joined, len(self.tokens))
        if new == len(self.tokens):
            self.tokens.append(joined)
        touched = [token for token in {a, b, new} if token >= self.base]
        frequent = lambda: sum(self.token_count[token] >= min_count for token in touched)
        before = frequent()
        for w in sorted(self.pairs.words_with(pair)):
            old, count = self.spelled[w], self.counts[w]
            self.spelled[w] = join(old, a, b, new)
            joins = len(old) - len(self.spelled[w])
            for token, more in ((a, -joins), (b, -joins), (new, joins)):
                self.token_count.add(token, more * count)
            self.pairs.add(w, old, -count)
            self.pairs.add(w, self.spelled[w], count)
        return frequent() - before

    def frequent(self, min_count):
        return [token for i, token in enumerate(self.tokens) if i < self.base or self.token_count[i] >= min_count]


class Pairs:
    """How often two tokens are neighbours, and in which words."""

    def __init__(self):
        self.numbers, self.words = {}, []
        self.lefts, self.rights, self.counts = Grown(np.int64), Grown(np.int64), Grown()

    def add(self, word, spelling, count):
        """Add `count` to the counts of the pairs in a word's spelling. A negative count removes the word from them."""
        for pair in pairwise(spelling):
            number = self.numbers.setdefault(pair, len(self.words))
            if number == len(self.words):
                self.words.append(set())
                self.lefts.add(number, pair[0])
                self.rights.add(number, pair[1])
            self.counts.add(number, count)
            if count > 0:
                self.words[number].add(word)
            else:
                self.words[number].discard(word)

    def words_with(self, pair):
        return self.words[self.numbers[pair]]

    def best(self, score, token_counts, min_count):
        """-> the pair with the best score of those that occur `min_count` times, the oldest of equals, or None"""
        live = np.flatnonzero(self.counts.values[:len(self.words)] >= min_count)
        if not len(live):
            return None
        left, right = self.lefts.values[live], self.rights.values[live]
        value = score(self.counts.values[live], token_counts[left], token_counts[right], token_counts.sum())
        i = np.argmax(value)
        return int(left[i]), int(right[i])


def audit(path, words=None):
    """-> what is wrong with a vocabulary: a dict of findings, each a text or a list of texts; {} if all is right

    words: the words of a text that it is meant for -> how often each occurs.   Raises ValueError if the file is not
    UTF-8.
    """
    tokens, raw = read_vocab(path), vocab_file(path).read_bytes()
    ids = {token: i for i, token in enumerate(tokens)}
    lines = Counter(tokens)
    found = {}

    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        found["special tokens"] = f"{', '.join(missing)} are missing, so no tokenizer can be made of this file"
    if raw.startswith(b"\xef\xbb\xbf"):
        found["byte order mark"] = (f"the file begins with one. A program that reads it as plain UTF-8 gets the first"
                                    f" token {chr(0xfeff) + tokens[0]!r}; minconvbert removes the mark")
    returns = raw.count(b"\r\n")
    if returns:
        found["line ends"] = (f"{returns:,} of {len(tokens):,} lines end in CR LF. A program that splits at LF gets a"
                              " CR at the end of every token, and finds none; minconvbert and Hugging Face remove it")
    odd = [token for token in tokens if not token or any(map(str.isspace, token))]
    if odd:
        found["white space"] = (f"{len(odd):,} tokens are empty or hold white space, such as {odd[0]!r}, so no text has"
                                " them")
    if len(ids) < len(tokens):
        token, often = max(lines.items(), key=lambda item: item[1])
        found["duplicates"] = (
            f"{len(tokens):,} lines have {len(ids):,} different tokens. The last of equal lines gives the token's id,"
            f" so {len(tokens) - len(ids):,} ids are never used; {token!r} has {often:,} lines, and id {ids[token]}")
        found["holes"] = (
            f"vocab_size counts {len(ids):,} tokens, but the ids go up to {max(ids.values()):,}. The first id without a"
            f" token is {min(set(range(len(tokens))) - set(ids.values())):,}; a model needs {len(tokens):,} rows, and"
            f" Hugging Face gives an added token the id {len(ids):,}, which is that of {tokens[len(ids)]!r}")
    found |= _misread(tokens, ids, lines)
    lacking = unknown(words or {}, tokens)
    if lacking.share > UNKNOWN:
        found["unknown words"] = str(lacking)
    return found


def _misread(tokens, ids, lines):
    """Mojibake: UTF-8 that was read as something else and written again."""
    strange = [token for token in tokens if not token.isascii()]
    lost = [token for token in strange if "\ufffd" in token]
    found = {}
    if lost:
        found["lost characters"] = (f"{len(lost):,} tokens hold U+FFFD, such as {lost[0]!r}. The original characters"
                                    " are lost, and no text has these tokens, because the tokenizer drops U+FFFD")
    codec, meant = max(((codec, [token for token in strange if _reread(token, codec)]) for codec in ("gbk", "cp1252")),
                       key=lambda item: len(item[1]))
    # A few tokens of a right vocabulary, such as Chinese ones of one or two characters, look misread, too.
    if not strange or 2 * (len(meant) + len(lost)) < len(strange):
        return found
    examples = ", ".join(f"{token!r} for {_reread(token, codec)!r}" for token in meant[:3])
    found["misread"] = (f"of {len(strange):,} tokens beyond ASCII, {len(meant):,} are UTF-8 that was read as {codec}"
                        f"{': ' + examples if examples else ''}")
    fates = (_fate(char, codec, ids, lines) for char in "£é“”’—中国")
    found["what that does"] = [fate for fate in fates if fate]
    return found


def _reread(token, codec):
    """What a token was before its UTF-8 was read as `codec`; "" if it cannot be a misread token."""
    try:
        meant = token.encode(codec).decode("utf-8")
    except UnicodeError:
        return ""
    return meant if meant != token else ""


def _fate(char, codec, ids, lines):
    wrong = char.encode().decode(codec, "replace")
    now = f"the text {char!r} is {'id ' + str(ids[char]) if char in ids else 'unknown'}"
    if wrong not in ids:
        return ""
    if "\ufffd" in wrong:
        return (f"{now}: it became {wrong!r}, like all characters with the same first bytes, on {lines[wrong]:,} lines."
                f" The last of them, {ids[wrong]}, is the id of them all, and no text ever gets it")
    return f"{now}: it became {wrong!r}, and a text with {wrong!r} gets its id, {ids[wrong]}"
