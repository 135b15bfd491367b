"""Run a model on a sentence, and return what every drawing takes."""

import numpy as np

KINDS = (".html", ".svg", ".png", ".pdf")


def look(model, tokenizer, text, pair=None):
    """Run a model on a sentence, or on a pair of sentences   ->  out, tokens, which every drawing takes

    Raises ValueError if there is no token in the text, or more than the model has positions for.
    """
    encoding = tokenizer(text, pair)
    ids, limit = encoding["input_ids"], model.config.max_position_embeddings
    if len(ids) == tokenizer.num_special_tokens_to_add(pair is not None):
        raise ValueError(f"the sentence must have at least one word, but there is none in {text!r}")
    if len(ids) > limit:
        raise ValueError(f"the sentence must have at most {limit} pieces, special tokens counted, because the model has"
                         f" no more positions, but has {len(ids)}; shorten it")
    return model(np.array([ids]), token_type_ids=np.array([encoding["token_type_ids"]])), encoding.tokens()


def unknown_words(tokenizer, *texts):
    """The words of the texts that are not in the vocabulary, and are drawn as its token for unknown words."""
    return [row["text"] for text in texts if text for row in tokenizer.explain(text)
            if row["id"] == tokenizer.unk_token_id]


def piece(tokenizer, tokens, word):
    """The token, or the position, that a reader means by `word`."""
    if word is None or word in tokens:
        return word
    if word.isdecimal():
        return int(word)
    pieces = tokenizer.tokenize(word)
    if len(pieces) != 1:
        raise ValueError(f"a token must be one piece of the sentence, {' '.join(tokens)}, but {word!r} is"
                         f" {len(pieces)}: {' '.join(pieces)}")
    return pieces[0]
