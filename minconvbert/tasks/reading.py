"""Files to entries, with the number of the line in every complaint."""

import csv
import json
from pathlib import Path

SHOWN = 80                                             # characters of what was found


def lines(path):
    """(number, line) of a UTF-8 file.

    Raises ValueError, with the number of the line, if it is not UTF-8.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: the file must be UTF-8 text, but {error}") from None
            yield number, line.rstrip("\r\n")


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
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: there must be one JSON object on each line, but {error.msg} at character"
                             f" {error.pos + 1} of {shown(line)}") from None
        yield where, json_object(entry, where)


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
        others = ", ".join(map(repr, entry)) or "nothing"
        raise ValueError(f"{where}: there must be {name!r}, but there is only {others}")
    return entry[name]


def text(entry, name, where):
    """An entry's value that must be a text of something else than white space."""
    value = need(entry, name, where)
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
    return [text({name: one}, name, where) for one in value]


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
    return cfg.replace(num_labels=len(names), id2label=dict(enumerate(names)))


def label_ids(cfg):
    """Name -> number of the labels of a configuration; those without names are LABEL_0, LABEL_1, ..."""
    return {name: i for i, name in label_names(cfg).items()}


def label_names(cfg):
    return cfg.id2label or {i: f"LABEL_{i}" for i in range(cfg.num_labels)}


def in_order(names):
    """Sorted; by value, if all are whole numbers."""
    return sorted(names, key=int) if all(name.removeprefix("-").isdecimal() for name in names) else sorted(names)


def shown(value):
    """What was found, cut to what a message can hold."""
    found = repr(value)
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}..."
