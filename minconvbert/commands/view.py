"""`python -m minconvbert view "a sentence" --out view.html`, or .svg, .png, .pdf."""

import argparse
from pathlib import Path

from ..faces import ConvBertModel
from ..files import SHIPPED
from ..tokenizer.hugging_face import ConvBertTokenizerFast
from ..view import figures
from ..view.interactive import page_data, titled_page
from ..view.look import KINDS, look, piece, unknown_words


def main(argv):
    args = _parser().parse_args(argv)
    path = Path(args.out)
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"--out must end in one of {', '.join(KINDS)}, but is {args.out!r}")
    if not path.parent.is_dir():
        raise ValueError(f"--out must be in a folder that exists, but {path.parent} is not one; make it first")
    if args.word is not None and args.second is None:
        raise ValueError("--word names the word to compare in two sentences; pass the second sentence with --second")

    model, tokenizer = ConvBertModel.from_pretrained(args.model), ConvBertTokenizerFast.from_pretrained(args.model)
    out, tokens = look(model, tokenizer, args.sentence, args.pair)
    second = None if args.second is None else look(model, tokenizer, args.second)
    drawn = dict(layer=args.layer, head=args.head, token=piece(tokenizer, tokens, args.token), second=second,
                 word=piece(tokenizer, tokens, args.word))
    unknown = unknown_words(tokenizer, args.sentence, args.pair, args.second)
    notes = [f"Not in the vocabulary, and seen as {tokenizer.unk_token}: {', '.join(unknown)}."] if unknown else []
    if path.suffix.lower() == ".html":
        cfg, name = model.config, Path(args.model).name
        name = (f"{name} · {cfg.num_hidden_layers} layers, each of {cfg.heads} attention and {cfg.heads}"
                " convolution heads")
        titled_page(page_data(out, tokens, **drawn), name, notes).save(path)
    else:
        try:
            figure = figures.overview(out, tokens, **drawn)
        except ModuleNotFoundError:
            raise ValueError(f'{path.suffix} needs matplotlib: pip install "minconvbert[plot]"; --out view.html needs'
                             " nothing") from None
        figures.save(figure, path)
    for note in notes:
        print(note)
    print(f"wrote {path}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert view", description="Draw what each word takes from its sentence: the convolution"
        " kernels and the attention maps of every layer and head, as a page to explore or as a picture.")
    parser.add_argument("sentence", help="a sentence, in quotes")
    parser.add_argument("--out", metavar="FILE", default="view.html", help="the file to write: .html (a page that needs"
                        " nothing else), .svg, .png or .pdf (view.html)")
    parser.add_argument("--pair", metavar="SENTENCE", help="a second segment, read together with the sentence")
    parser.add_argument("--second", metavar="SENTENCE", help="another sentence that shares a word, to compare the two"
                        " kernels of the word")
    parser.add_argument("--word", help="the word to compare in both sentences (the longest that they share)")
    parser.add_argument("--layer", type=int, metavar="N", help="from 0 (the layer whose kernels differ most from word"
                        " to word; with --second, from sentence to sentence)")
    parser.add_argument("--head", type=int, metavar="N", help="from 0 (chosen like the layer)")
    parser.add_argument("--token", metavar="WORD", help="the word that looks, or its position from 0"
                        " (the one whose kernel is least like the others, or the word of --word)")
    parser.add_argument("--model", metavar="FOLDER", default=SHIPPED, help="a pretrained folder (%(default)s)")
    return parser
