"""The files of a tokenizer, as transformers 4 and 5 write and read them.

    vocab.txt               the tokens, one a line; the number of the line is the id
    tokenizer_config.json   the settings, and the added tokens with their ids
    special_tokens_map.json which token is [MASK], ...; added_tokens.json: ids of tokens that vocab.txt has not
    tokenizer.json          all of it once more, of the fast tokenizer alone; transformers 5 writes this and the config
"""

import json
from dataclasses import asdict, fields
from pathlib import Path

from ..files import SHIPPED, model_path, write_atomic
from .added import AddedToken
from .vocab import read_vocab, write_vocab
from .wordpiece import PREFIX

NORMALIZER_NAMES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
                    "tokenize_chinese_chars": "handle_chinese_chars"}  # our settings, by their names in tokenizer.json


def write(tokenizer, folder):
    """-> the paths written"""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    added = tokenizer.added_tokens_decoder
    entries = {
        "tokenizer_config.json": {name: getattr(tokenizer, name) for name in tokenizer.settings} | {
            "tokenizer_class": "ConvBertTokenizer",
            "added_tokens_decoder": {str(i): asdict(token) for i, token in sorted(added.items())}},
        "special_tokens_map.json": tokenizer.special_tokens_map}
    new = {token.content: i for i, token in sorted(added.items()) if token.content not in tokenizer.vocab}
    if new:
        entries["added_tokens.json"] = new
    if tokenizer.is_fast:
        entries["tokenizer.json"] = whole(tokenizer)
    paths = [*tokenizer.save_vocabulary(folder)]
    for name, content in entries.items():
        write_atomic(folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        paths.append(str(folder / name))
    return tuple(paths)


def whole(tokenizer):
    """-> what a tokenizer.json holds"""
    def part(kind, name, type_id):
        return {kind: {"id": name, "type_id": type_id}}

    cls, sep = tokenizer.cls_token, tokenizer.sep_token
    single = [part("SpecialToken", cls, 0), part("Sequence", "A", 0), part("SpecialToken", sep, 0)]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i} | asdict(token) for i, token in sorted(tokenizer.added_tokens_decoder.items())],
        "normalizer": {"type": "BertNormalizer", "clean_text": True} | {
            theirs: getattr(tokenizer, ours) for ours, theirs in NORMALIZER_NAMES.items()},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single,
            "pair": [*single, part("Sequence", "B", 1), part("SpecialToken", sep, 1)],
            "special_tokens": {token: {"id": token, "ids": [tokenizer.convert_tokens_to_ids(token)], "tokens": [token]}
                               for token in (cls, sep)}},
        "decoder": {"type": "WordPiece", "prefix": PREFIX, "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": tokenizer.unk_token, "continuing_subword_prefix": PREFIX,
                  "max_input_chars_per_word": tokenizer.max_input_chars_per_word, "vocab": tokenizer.vocab}}


def read(folder):
    """-> the path of the vocabulary, the settings; of a folder, or of a vocabulary alone

    Raises ValueError if there is no vocabulary, or a file is not what its name says.
    """
    folder = model_path(folder)
    if folder.is_file():
        return folder, {}
    found = [path for path in (folder / "vocab.txt", folder / "tokenizer.json") if path.exists()]
    if not found:
        raise ValueError(f"a tokenizer needs vocab.txt or tokenizer.json, but {folder} has neither; it must be a folder"
                         f" on this machine, because nothing is fetched, or {SHIPPED}, which ships")
    one_file, added, special, settings = (read_json(folder / name) for name in (
        "tokenizer.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"))
    normalizer = one_file.get("normalizer") or {}
    known = {ours: normalizer[theirs] for ours, theirs in NORMALIZER_NAMES.items() if theirs in normalizer}
    settings = known | settings
    if "added_tokens_decoder" not in settings:
        settings |= special
        settings["added_tokens_decoder"] = {i: {"content": token} for token, i in added.items()} | {
            token["id"]: token for token in one_file.get("added_tokens", [])}
    added = settings["added_tokens_decoder"]
    settings["added_tokens_decoder"] = {int(i): as_token(token) for i, token in added.items()}
    return found[0], {name: as_token(value) if name.endswith("_token") else value
                      for name, value in settings.items() if value is not None}


def as_token(value):
    """An AddedToken, or the str itself, of what a file says of a token."""
    if isinstance(value, (str, AddedToken)):
        return value
    known = {field.name for field in fields(AddedToken)}
    return AddedToken(**{name: part for name, part in value.items() if name in known})


def read_json(path):
    """The object in a JSON file; {} if there is no file."""
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must be JSON, but cannot be read as that: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold one JSON object, but holds a {type(entries).__name__}")
    return entries


def read_vocabulary(source):
    """-> the tokens in order of their ids (None if these leave one out), and token -> id; of duplicates the last counts

    `source`: the path of a vocab.txt or tokenizer.json, a list of tokens, or a dict token -> id.
    """
    if isinstance(source, (str, Path)) and Path(source).suffix == ".json":
        path, source = source, read_json(Path(source)).get("model", {}).get("vocab")
        if not isinstance(source, dict):
            raise ValueError(f"a tokenizer.json must have a vocabulary under model, but {path} has none")
    elif isinstance(source, (str, Path)):
        source = read_vocab(source)
    if isinstance(source, (list, tuple)):
        return list(source), {token: i for i, token in enumerate(source)}
    if not isinstance(source, dict):
        raise TypeError("a vocabulary must be a path, a list of tokens or a dict token -> id, but is"
                        f" {source!r} ({type(source).__name__})")
    vocab = dict(sorted(source.items(), key=lambda item: item[1]))
    return (list(vocab) if list(vocab.values()) == list(range(len(vocab))) else None), vocab


def save_vocabulary(tokens, folder, filename_prefix):
    """-> the path of the vocab.txt written"""
    if tokens is None:
        raise ValueError("a vocab.txt must have a token for every id from 0, but this vocabulary leaves some out:"
                         " give it tokens for them")
    path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
    write_vocab(path, tokens)
    return str(path)
