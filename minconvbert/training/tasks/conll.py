"""CoNLL is many formats: they differ in where cells end, which lines are comments and which cell is the word.

A file does not say which format it has. The format is found from what the lines have in common; a file that leaves a
doubt is refused.
"""

import logging
import re
from collections import Counter

from .. import metrics
from . import reading

log = logging.getLogger(__name__)

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def read_sentences(path, labelled):
    """-> sentences, each a list of (number of the line, word, tag); the tag is the last cell of the line

    Raises ValueError, with the number of the line, for a line that does not fit, and for a file whose first column
    holds something other than words or their numbers.
    """
    blocks = _blocks(path)
    if not blocks:
        return []
    fewest = 2 if labelled else 1
    certain = [row for block in blocks for row in block[_leading(block):]] or [row for block in blocks for row in block]
    split, columns = _layout(path, certain, fewest)
    sentences = _without_comments(path, blocks, [split(line) for _, line in certain], split, columns)
    for rows in sentences:
        for number, cells in rows:
            if len(cells) != columns:
                raise ValueError(f"{path}, line {number}: there must be {columns} columns, a word first and its tag"
                                 f" last, as on most lines, but there are {len(cells)}:"
                                 f" {reading.shown(' '.join(cells))}")
    cells = [[cells for _, cells in rows] for rows in sentences]
    _refuse_tags_first(path, cells, labelled)
    word = _word_column(path, cells) if columns > fewest else 0
    return [[(number, cells[word], cells[-1]) for number, cells in rows] for rows in sentences]


def _blocks(path):
    """The lines between blank ones, as lists of (number, line)."""
    blocks = [[]]
    for number, line in reading.lines(path):
        cells = at_spaces(line)
        if cells and cells[0] != "-DOCSTART-":
            blocks[-1].append((number, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _leading(block):
    """The number of lines at the beginning of a block that may be comments."""
    return next((i for i, (_, line) in enumerate(block) if not line.startswith("#")), len(block))


def at_spaces(line):
    return re.findall(r"[^ \t]+", line)                # other white space may stand inside a word


def at_tabs(line):
    """The cells between tabs, which may have spaces inside."""
    return [cell for cell in (cell.strip(" ") for cell in line.split("\t")) if cell]


def _layout(path, rows, fewest):
    """-> the function that splits a line, the number of columns; both as they fit most lines"""
    layouts = []
    for split in (at_tabs, at_spaces):
        sizes = Counter(len(split(line)) for _, line in rows if split is at_spaces or "\t" in line)
        fit = [size for size in sizes if size >= fewest]
        if fit:
            columns = max(fit, key=lambda size: (sizes[size], -size))
            layouts.append((sizes[columns], split, columns))
    if not layouts:
        number, line = rows[0]
        raise ValueError(f"{path}, line {number}: there must be {fewest} columns, a word first and its tag last, but"
                         f" there are {len(at_spaces(line))}: {reading.shown(line)}")
    (lines, split, columns), *others = sorted(layouts, key=lambda layout: -layout[0])
    if others and others[0][0] == lines == len(rows) and others[0][2] != columns:
        raise ValueError(f"{path}, line {rows[0][0]}: columns must be separated by tabs or spaces, but every line has"
                         f" both: {reading.shown(rows[0][1])}; use one of them")
    return split, columns


def _without_comments(path, blocks, certain, split, columns):
    """Sentences of (number, cells). A line with # before the first word is left out, unless it fits the other lines."""
    tags = {cells[-1] for cells in certain if len(cells) == columns}
    chunks = metrics.chunk_tags(tags)
    sentences, comments = [], []
    for block in blocks:
        rows = [(number, split(line)) for number, line in block]
        first = 0
        while first < len(rows) and block[first][1].startswith("#"):
            if _is_word(rows[first][1], columns, tags, chunks):
                break
            comments.append(block[first][1])
            first += 1
        sentences.append(rows[first:])
    if comments:
        log.warning("%s: %d lines that begin with # before a sentence are left out as comments; the first is %s", path,
                    len(comments), reading.shown(comments[0]))
    return [rows for rows in sentences if rows]


def _is_word(cells, columns, tags, chunks):
    if len(cells) != columns:
        return False
    if columns == 1 or cells[-1] in tags:
        return True
    return bool(metrics.chunk_tags([*tags, cells[-1]])) or not chunks and cells[0] != "#"


def _refuse_tags_first(path, sentences, labelled):
    chunks = lambda column: metrics.chunk_tags({cells[column] for rows in sentences for cells in rows})
    if labelled and sentences and chunks(0) and not chunks(-1):
        raise ValueError(f"{path}: the word must be the first column and its tag the last, but the first holds tags, as"
                         f" {reading.shown(sentences[0][0][0])}")


def _word_column(path, sentences):
    """0, or 1 where the first column counts the words."""
    firsts = [[cells[0] for cells in rows] for rows in sentences]
    if all(re.fullmatch(r"\d+([-.]\d+)?", first) for column in firsts for first in column):
        if len(sentences[0][0]) == len(CONLLU):
            raise ValueError(f"{path} must be named .conllu if its columns are {', '.join(CONLLU)}")
        if _counts(firsts):
            return 1
        if any(len(column) > 1 for column in firsts):
            raise ValueError(f"{path}: the first column must hold words, or count them, but it holds other numbers, as"
                             f" {reading.shown(firsts[0][:8])}")
    repeated = [column for column in firsts if len(column) > 1]
    if repeated and all(len(set(column)) == 1 for column in firsts) and sum(map(len, firsts)) > 2 and any(
            len({cells[1] for cells in rows}) > 1 for rows in sentences):
        raise ValueError(f"{path}: the first column must hold words, but it says the same on all lines of a sentence,"
                         f" as {reading.shown(repeated[0][0])}; take it out")
    return 0


def _counts(firsts):
    """Whether a column counts the words of each sentence, from 0 or 1, or those of the file."""
    before = None
    for column in firsts:
        if not all(map(str.isdecimal, column)):
            return False
        numbers = [int(first) for first in column]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] not in (0, 1, before):
            return False
        before = numbers[-1] + 1
    return any(len(column) > 1 for column in firsts)
