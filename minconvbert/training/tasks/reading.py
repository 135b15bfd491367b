"""Files to entries, with the number of the line in every complaint."""

import csv
import json
from pathlib import Path

from ...files import no_key_twice

SHOWN = 80                                             # characters of what was found


def lines(path):
    """(number, line) of a UTF-8 file; lines end in LF, CRLF or CR.

    Raises ValueError, with the number of the line, if it is not UTF-8.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate((line for part in file for line in part.splitlines()), 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: the file must be UTF-8 text, but {error}") from None
            yield number, line


def examples(path, make, labelled):
    """`make(entry, where, labelled)` of each entry of JSON lines (.jsonl) or of a table with a header (.csv, .tsv).

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
    """What JSON says.

    Raises ValueError also for a key that comes twice, half a character (a lone surrogate) and for what is too deep.
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
    is_csv = Path(path).suffix.lower() == ".csv"
    options = dict(strict=True) if is_csv else dict(delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = csv.reader((f"{line}\n" for _, line in lines(path)), **options)
    header, start = None, 1
    try:
        for row in rows:
            where, start = f"{path}, line {start}", rows.line_num + 1
            if header is None:
                header = row
                named = [name for name in header if name]
                if len(set(named)) < len(named):
                    raise ValueError(f"{where}: each column must have a name of its own, but they are"
                                     f" {', '.join(header)}")
            elif row and len(row) != len(header):
                raise ValueError(f"{where}: a row must have {len(header)} cells, as the header ({', '.join(header)})"
                                 f" has, but has {len(row)}: {shown(row)}")
            elif row:
                yield where, dict(zip(header, row))
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: there must be a row of a table, but {error}") from None


def need(entry, name, where):
    """An entry's value, if it has one."""
    if entry.get(name) is None:
        others = ", ".join(repr(other) for other in entry if entry[other] is not None) or "nothing"
        raise ValueError(f"{where}: there must be {name!r}, but there is only {others}")
    return entry[name]


def text(entry, name, where):
    """An entry's value that must be a text of something else than white space."""
    return _text(need(entry, name, where), name, where)


def _text(value, name, where):
    if not isinstance(value, str):
        raise ValueError(f"{where}: {name} must be a text, but is {shown(value)}")
    if not value.strip():
        raise ValueError(f"{where}: {name} must not be empty, but is {value!r}")
    return value


def texts(entry, name, where):
    """An entry's value that must be a list of texts."""
    value = need(entry, name, where)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where}: {name} must be a list of texts, but is {shown(value)}")
    return [_text(one, name, where) for one in value]


def label_id(label, ids, where):
    """The number of a label.

    Raises ValueError for one that the model does not know.
    """
    if label not in ids:
        some = ", ".join(map(repr, list(ids)[:12])) + (f", ... ({len(ids)} in all)" if len(ids) > 12 else "")
        raise ValueError(f"{where}: a label must be one of {some}, but is {label!r}; the labels are those of the"
                         " training data, or of --labels")
    return ids[label]


def named_labels(cfg, names):
    """The configuration with these labels, numbered in this order."""
    if len(set(names)) < len(names):
        raise ValueError(f"each label must be there once, but they are {', '.join(names)}")
    return cfg.replace(num_labels=len(names), id2label=dict(enumerate(names)))


def label_ids(cfg):
    """Name -> number of the labels of a configuration; those without names are LABEL_0, LABEL_1, ..."""
    return {name: i for i, name in label_names(cfg).items()}


def label_names(cfg):
    return cfg.id2label or {i: f"LABEL_{i}" for i in range(cfg.num_labels)}


def in_order(names):
    """Sorted; by value, if all are whole numbers."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def shown(value):
    """What was found, cut to what a message can hold."""
    found = repr(value)
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
