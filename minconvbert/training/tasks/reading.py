"""Read files into entries. Every error names the line that is wrong."""

import csv
import json
import logging
import unicodedata
from collections import defaultdict
from pathlib import Path

import regex

from ...files import no_key_twice, refuse_device, refuse_pointer

log = logging.getLogger(__name__)

SHOWN = 80                                             # most characters of a value in a message
LONGEST_CELL = 2**31 - 1                               # characters; the csv module allows 131,072 by default
QUOTED = regex.compile(r'"[^"]*+(?:""[^"]*+)*+"')
QUOTED_TABLE = regex.compile(rf'(?:(?:{QUOTED.pattern}|[^"\t\n]*+)[\t\n])*+(?:{QUOTED.pattern}|[^"\t\n]*+)')
NO_LABEL = {"-", "_", "?", "-1", "-100", "nan", "none", "null", "n/a", "na", ""}


def lines(path):
    """(number, line) of a UTF-8 file; lines end in LF, CRLF or CR.

    Raises ValueError, with the number of the line, if it is not UTF-8.
    """
    refuse_device(path)
    with open(path, "rb") as file:
        for number, raw in enumerate((line for part in file for line in part.splitlines()), 1):
            if number == 1:
                refuse_pointer(path, raw)
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: the file must be UTF-8 text, but {error}") from None
            yield number, line


def examples(path, make, labelled):
    """`make(entry, where, labelled)` for each entry of JSON lines (.jsonl) or of a table with a header (.csv, .tsv).

    Raises ValueError if the file is of another kind, or empty.
    """
    readers = {".jsonl": _json_lines, ".csv": _table, ".tsv": _table}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path} must be {', '.join(readers)}, but its name ends in {suffix or 'nothing'!r}")
    return not_empty(path, [make(entry, where, labelled) for where, entry in readers[suffix](path)])


def not_empty(path, found):
    if not found:
        raise ValueError(f"{path} must hold at least one example, but it holds none")
    return found


def _json_lines(path):
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            entry = parsed(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: there must be one JSON object on each line, but {error.msg} at character"
                             f" {error.pos + 1} of {shown(line)}") from None
        except ValueError as error:
            raise ValueError(f"{where}: there must be one JSON object on each line, but {error}") from None
        yield where, json_object(entry, where)


def parsed(text):
    """The value of a JSON text.

    Raises ValueError also for a repeated key, half a character (a lone surrogate) and brackets nested too deeply.
    """
    try:
        found = json.loads(text, object_pairs_hook=no_key_twice)
        if "\\u" in text:                               # only there can a surrogate hide
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("there is half a character, a lone surrogate, in it") from None
    return found


def json_object(entry, where):
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: there must be a JSON object, but there is {shown(entry)}")
    return entry


def _table(path):
    csv.field_size_limit(LONGEST_CELL)
    if Path(path).suffix.lower() == ".csv":
        options = dict(strict=True)
    elif is_quoted("\n".join(line for _, line in lines(path)), path):
        options = dict(strict=True, delimiter="\t")
    else:
        options = dict(delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = csv.reader((f"{line}\n" for _, line in lines(path)), **options)
    header, start = None, 1
    try:
        for row in rows:
            where, start = f"{path}, line {start}", rows.line_num + 1
            if header is None:
                header = [name.strip() for name in row]
                named = [name for name in header if name]
                if len(set(named)) < len(named):
                    raise ValueError(f"{where}: each column must have a name of its own, but the names are"
                                     f" {', '.join(header)}")
            elif row and len(row) != len(header):
                raise ValueError(f"{where}: a row must have {len(header)} cells, as the header ({', '.join(header)})"
                                 f" has, but has {len(row)}: {shown(row)}")
            elif row:
                yield where, dict(zip(header, row))
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: there must be a row of a table, but {error}") from None


def is_quoted(text, path=""):
    """Whether quotes in a table with tabs enclose cells, as pandas writes them, or are plain characters, as in GLUE.

    They enclose cells if every cell with a quote begins and ends with one and has its inner quotes doubled, and if, in
    addition, one of them needs quotes because of a quote, tab or line end inside, or all cells have quotes.
    """
    if '"' not in text:
        return False
    rows = [row.split("\t") for row in text.split("\n") if row]
    cells = [cell for row in rows for cell in row]
    doubled = [cell for cell in cells if '""' in cell[1:-1] and QUOTED.fullmatch(cell)]
    if QUOTED_TABLE.fullmatch(text):
        if doubled or len(set(map(len, rows))) > 1 or all(map(QUOTED.fullmatch, cells)):
            return True
        open_ones = [cell for cell in cells if '"' in cell and not QUOTED.fullmatch(cell)]
        if open_ones:
            log.warning("%s: cells such as %s are read with their quotes; if quotes enclose tabs or line ends, use .csv"
                        " or .jsonl", path, shown(open_ones[0]))
        return False
    if doubled:
        log.warning("%s: cells such as %s are read with their quotes, because other cells have single ones", path,
                    shown(doubled[0]))
    return False


def need(entry, name, where):
    """An entry's value.   Raises ValueError if it has none."""
    if entry.get(name) is None:
        others = ", ".join(repr(other) for other in entry if entry[other] is not None) or "nothing"
        raise ValueError(f"{where}: there must be {name!r}, but there is only {others}")
    return entry[name]


def text(entry, name, where):
    """An entry's value, which must be a text with something other than white space."""
    return _text(need(entry, name, where), name, where)


def _text(value, name, where):
    if not isinstance(value, str):
        raise ValueError(f"{where}: {name} must be a text, but is {shown(value)}")
    if not value.strip():
        raise ValueError(f"{where}: {name} must not be empty, but is {value!r}")
    return value


def texts(entry, name, where):
    """An entry's value, which must be a list of such texts."""
    value = need(entry, name, where)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where}: {name} must be a list of texts, but is {shown(value)}")
    return [_text(one, name, where) for one in value]


def name_of(label, where, kind="label"):
    """The name of a label, which is a text or a whole number. White space around it is dropped."""
    if isinstance(label, bool) or not isinstance(label, (str, int)) or not str(label).strip():
        raise ValueError(f"{where}: a {kind} must be a name or a whole number, but is {shown(label)}; use one kind of"
                         " labels in a file, or say --problem")
    return str(label).strip()


def label_id(label, ids, where):
    """The number of a label.   Raises ValueError if the model does not know it."""
    if label not in ids:
        some = ", ".join(map(repr, list(ids)[:12])) + (f", ... ({len(ids)} in all)" if len(ids) > 12 else "")
        raise ValueError(f"{where}: a label must be one of {some}, but is {label!r}; the labels are those of the"
                         " training data, or of --labels")
    return ids[label]


def named_labels(cfg, names):
    """The configuration with these labels, numbered in this order."""
    if len(set(names)) < len(names):
        raise ValueError(f"each label must be named once, but the labels are {', '.join(names)}")
    return cfg.replace(num_labels=len(names), id2label=dict(enumerate(names)))


def label_ids(cfg):
    """Name -> number of the labels of a configuration; those without names are LABEL_0, LABEL_1, ..."""
    names = label_names(cfg)
    ids = {name: i for i, name in names.items()}
    if len(ids) < len(names):
        raise ValueError("each label of a model must have a name of its own, but the names are"
                         f" {', '.join(names.values())}")
    return ids


def label_names(cfg):
    """Number -> name of the labels; a config.json may have numbers as names."""
    names = cfg.id2label or {i: f"LABEL_{i}" for i in range(cfg.num_labels)}
    return {i: str(name).strip() for i, name in names.items()}


def say_what_is_odd(labels):
    """Warn of labels that look like "no label", and of those that are nearly alike.   labels: name -> its count"""
    for name, count in labels.items():
        beside = "0" if name.startswith("-") and len(name) > 1 else None
        if name.lower() in NO_LABEL and "+" not in labels and (beside is None or beside in labels):
            log.warning("%d examples have the label %r, which often means that there is none; it is learned like any"
                        " other, so leave them out if it does", count, name)
    alike = defaultdict(list)
    for name in labels:
        alike[unicodedata.normalize("NFKC", name).casefold()].append(name)
    for names in alike.values():
        if len(names) > 1:
            log.warning("the labels %s differ only in the way they are written; they are learned as %d labels",
                        ", ".join(map(repr, names)), len(names))

def in_order(names):
    """Sorted; by value, if all are whole numbers."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def shown(value):
    """The value as a message shows it, cut to SHOWN characters."""
    found = repr(value)
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
