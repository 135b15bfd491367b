"""The files of a tokenizer, as transformers 4 and 5 write and read them.

    vocab.txt               the tokens, one a line; the number of the line is the id
    tokenizer_config.json   the settings, and the added tokens with their ids
    special_tokens_map.json which token is [MASK], and so on
    added_tokens.json       the ids of tokens that are not in vocab.txt
    tokenizer.json          all of this again, for the fast tokenizer; transformers 5 writes only this and the config
"""

import json
import logging
import os
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from ..files import SHIPPED, check_ordinary, is_file, model_path, no_key_twice, refuse_pointer, write_atomic
from .added import AddedToken
from .vocab import read_vocab, write_vocab
from .wordpiece import PREFIX

log = logging.getLogger(__name__)

SPECIAL_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE_SPECIAL = ("extra_special_tokens", "additional_special_tokens")  # their names in transformers 5 and 4
BERT_TEMPLATE = "CLS:0 A:0 SEP:0 CLS:0 A:0 SEP:0 B:1 SEP:1"  # the rows of a text and of a pair, with token types
BERT = dict(normalizer={"type": "BertNormalizer"}, pre_tokenizer={"type": "BertPreTokenizer"},
            post_processor={"type": "BertProcessing"})  # if a tokenizer.json says nothing
NORMALIZER_NAMES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
                    "tokenize_chinese_chars": "handle_chinese_chars"}  # our settings, by their names in tokenizer.json


def write(tokenizer, folder):
    """Write the files of a tokenizer into a folder  ->  their paths"""
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
    """The entries of tokenizer.json"""
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


def read_folder(folder, fast=True):
    """Read a folder, or the file of a vocabulary alone  ->  the path of the vocabulary; the settings

    If tokenizer.json and the other files disagree, the fast tokenizer follows tokenizer.json, as in transformers; a
    warning says so.

    Raises ValueError if there is no vocabulary, a file is not what its name says, or the pipeline in tokenizer.json is
    not that of BERT.
    """
    folder = model_path(folder)
    if is_file(folder):
        return folder, {}
    text, one_file = folder / "vocab.txt", folder / "tokenizer.json"
    if not os.path.lexists(text) and not os.path.lexists(one_file):
        raise ValueError(f"a tokenizer needs vocab.txt or tokenizer.json, but {folder} has neither; it must be a folder"
                         f" on this machine, because nothing is fetched, or {SHIPPED}, which ships")
    if os.path.lexists(text):
        check_ordinary(text)
    try:
        return _read_folder(folder, text, one_file, fast)
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"the files of the tokenizer in {folder} must be as transformers writes them, but an entry is"
                         f" of another kind: {error!r:.200}") from None


def _read_folder(folder, text, one_file, fast):
    settings, whole = object_in(folder / "tokenizer_config.json"), object_in(one_file)
    pipeline = read_pipeline(whole, one_file) if whole else {}
    differ = [name for name in pipeline if settings.get(name, pipeline[name]) != pipeline[name]]
    if fast and differ:
        log.warning("%s and tokenizer_config.json differ in %s; the first counts", one_file, ", ".join(differ))
    settings = settings | pipeline if fast else pipeline | settings
    settings = {"max_len": None} | settings | _tokens_of(folder, settings, whole)
    if settings.get("model_max_length") is None:
        settings["model_max_length"] = settings["max_len"]  # its name in old versions
    if whole and "clean_up_tokenization_spaces" not in settings:
        settings["clean_up_tokenization_spaces"] = False
    return _vocabulary(text, one_file, fast), {name: value for name, value in settings.items() if value is not None}


def _vocabulary(text, one_file, fast):
    """The file to read the vocabulary from. If both agree, it is vocab.txt, because that file may repeat a token."""
    if not (text.exists() and one_file.exists()):
        return text if text.exists() else one_file
    sizes = [len(read_vocabulary(path)[1]) for path in (text, one_file)]
    if read_vocabulary(text)[1] == read_vocabulary(one_file)[1]:
        return text
    chosen = one_file if fast else text
    log.warning("%s and %s differ: they have %d and %d tokens; the vocabulary is that of %s", text, one_file, *sizes,
                chosen.name)
    return chosen


def _tokens_of(folder, settings, whole):
    """The settings that name tokens: the special tokens, and the added tokens with their ids"""
    in_whole = {token["id"]: token for token in whole.get("added_tokens", [])}
    found = {name: settings[name] for name in settings if name.endswith("_token") or name in MORE_SPECIAL}
    if "added_tokens_decoder" in settings:
        listed = settings["added_tokens_decoder"]
        if not all(str(i).isdecimal() and len(str(i)) < 10 and isinstance(one, dict) for i, one in listed.items()):
            raise ValueError(f"added_tokens_decoder in the files of {folder} must map ids to objects with a content,"
                             f" but is {listed!r:.99}")
        added = in_whole | {int(i): token for i, token in listed.items()}
    else:
        found |= object_in(folder / "special_tokens_map.json")
        in_file = object_in(folder / "added_tokens.json")
        added = {i: {"content": token} for token, i in in_file.items()} | in_whole
    where = f"the files of {folder}"
    named = {name: as_token(value, name, where) for name, value in found.items()
             if name.endswith("_token") and (name in SPECIAL_NAMES and value is not None
                                             or isinstance(value, (str, dict, AddedToken)))}
    more = [token for name, token in named.items() if name not in SPECIAL_NAMES]
    listed = found.get("extra_special_tokens") or found.get("additional_special_tokens") or []
    for token in listed.values() if isinstance(listed, dict) else listed:
        more.append(as_token(token, "a special token", where))
    return {name: token for name, token in named.items() if name in SPECIAL_NAMES} | dict(
        additional_special_tokens=list({str(token): token for token in more}.values()),
        added_tokens_decoder={i: as_token(token, f"token {i}", where) for i, token in added.items()})


def read_pipeline(whole, path):
    """The settings in a tokenizer.json

    Raises ValueError, naming the part, if its pipeline is not that of BERT.
    """
    def part(name):
        found = whole.get(name, BERT[name])
        steps = (found or {}).get("normalizers") or (found or {}).get("pretokenizers") or [found]
        return steps[0] if len(steps) == 1 else found

    model = whole.get("model")
    is_wordpiece = isinstance(model, dict) and model.get("type", "WordPiece") == "WordPiece"
    if not isinstance(model, dict) or is_wordpiece and not isinstance(model.get("vocab"), dict):
        raise ValueError(f"a tokenizer.json must have a vocabulary under model, but {path} has none")
    normalizer, pre_tokenizer, processor = map(part, ("normalizer", "pre_tokenizer", "post_processor"))
    for name, found, wanted in (
            ("model", model.get("type") or ("BPE" if "merges" in model else "WordPiece"), "WordPiece"),
            ("model's continuing_subword_prefix", model.get("continuing_subword_prefix", PREFIX), PREFIX),
            ("normalizer", _kind(normalizer), "BertNormalizer"),
            ("normalizer's clean_text", (normalizer or {}).get("clean_text", True), True),
            ("pre_tokenizer", _kind(pre_tokenizer), "BertPreTokenizer"),
            ("post_processor", _template(processor), BERT_TEMPLATE)):
        if found != wanted:
            raise ValueError(f"{path} must be a tokenizer of BERT's kind: its {name} must be {wanted!r}, but is"
                             f" {found!r}; use the tokenizers library for it")
    known = {ours: normalizer[theirs] for ours, theirs in NORMALIZER_NAMES.items() if theirs in normalizer}
    return known | {name: model[name] for name in ("max_input_chars_per_word", "unk_token") if name in model}


def _kind(part):
    return None if part is None else part.get("type")


def _template(part):
    """The rows that a post-processor makes, written in one line as in BERT_TEMPLATE."""
    if part is None or part.get("type") == "BertProcessing":
        return part and BERT_TEMPLATE
    if part.get("type") != "TemplateProcessing":
        return part.get("type")
    names = ("SpecialToken", "Sequence")
    steps = [next((name, step[name]["id"], step[name]["type_id"]) for name in names if name in step)
             for step in (*part["single"], *part["pair"])]
    specials = list(dict.fromkeys(token for name, token, _ in steps if name == "SpecialToken"))
    letters = dict(zip(specials, ("CLS", "SEP")))
    letter = lambda name, token: letters.get(token, token) if name == "SpecialToken" else token
    return " ".join(f"{letter(name, token)}:{kind}" for name, token, kind in steps)


def as_token(value, name="a token", where="a file"):
    """The token that an entry of a file describes: a str, or an AddedToken.

    Raises ValueError if the entry describes no token.
    """
    if isinstance(value, (str, AddedToken)):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise ValueError(f"{name} in {where} must be a text or an object with its content, but is {value!r:.80}")
    known = {field.name for field in fields(AddedToken)}
    return AddedToken(**{name: part for name, part in value.items() if name in known})


def object_in(path):
    """The object in a JSON file; {} if there is no file."""
    if not os.path.lexists(path):
        return {}
    check_ordinary(path)
    refuse_pointer(path, path.read_bytes())
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, but it cannot be read: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold one JSON object, but holds a {type(entries).__name__}")
    return entries


def read_vocabulary(source):
    """-> the tokens in the order of their ids, or None if an id has no token; token -> id, the last if it is repeated

    `source`: the path of a vocab.txt or tokenizer.json, a list of tokens, or a dict token -> id.
    """
    if isinstance(source, (str, Path)) and Path(source).suffix == ".json":
        path, source = source, object_in(Path(source)).get("model", {}).get("vocab")
        if not isinstance(source, dict):
            raise ValueError(f"a tokenizer.json must have a vocabulary under model, but {path} has none")
    elif isinstance(source, (str, Path)):
        source = read_vocab(source)
    if isinstance(source, (list, tuple)):
        return list(source), {token: i for i, token in enumerate(source)}
    if not isinstance(source, dict):
        raise TypeError("a vocabulary must be a path, a list of tokens or a dict token -> id, but is"
                        f" {source!r} ({type(source).__name__})")
    wrong = [(token, i) for token, i in source.items()
             if not isinstance(i, (int, np.integer)) or isinstance(i, bool) or not 0 <= i < 1 << 31]
    if wrong:
        raise ValueError(f"a vocabulary must have ids from 0 to 2^31 - 1, but {wrong[0][0]!r:.50} has"
                         f" {wrong[0][1]!r:.50}")
    vocab = dict(sorted(source.items(), key=lambda item: item[1]))
    return (list(vocab) if list(vocab.values()) == list(range(len(vocab))) else None), vocab


def save_vocabulary(tokens, folder, filename_prefix):
    """Write vocab.txt into a folder  ->  its path"""
    if tokens is None:
        raise ValueError("a vocab.txt must have a token for every id from 0, but this vocabulary leaves some out:"
                         " give it tokens for them")
    path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
    write_vocab(path, tokens)
    return str(path)
