"""Draws the README's second picture: the kernels of one word in two sentences, in layer 0."""

from pathlib import Path

from minconvbert import ConvBertModel, ConvBertTokenizerFast, default_model, view

folder = default_model()
model, tokenizer = ConvBertModel.from_pretrained(folder), ConvBertTokenizerFast.from_pretrained(folder)
sentences = (view.look(model, tokenizer, text) for text in ("They have a house.", "They have gone to the house."))
picture = Path(__file__).parents[2] / "weights" / "convbert-tiny" / "contexts.png"
view.save(view.two_contexts(*sentences, word="have", layer=0), picture)
