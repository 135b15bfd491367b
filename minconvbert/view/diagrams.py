"""Two drawings of the model as SVG: one block, and the whole. The names in them are those of `acts`."""

from html import escape

from .palette import LIGHT

FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


class Drawing:
    """An SVG that a notebook shows."""

    def __init__(self, width, height, title):
        self.size, self.title, self.parts = (width, height), title, []

    def __repr__(self):
        return f"<drawing: {self.title.partition('.')[0]}>"

    def _repr_svg_(self):
        width, height = self.size
        head = (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
                f"height='{height}' role='img' {FONT} font-size='12'><title>{escape(self.title)}</title>"
                "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' "
                f"orient='auto'><path d='M0 0L8 4L0 8z' fill='{LIGHT['faint']}'/></marker></defs>"
                f"<rect width='{width}' height='{height}' fill='{LIGHT['paper']}'/>")
        return head + "".join(self.parts) + "</svg>"

    def box(self, x, y, text, kind="ink", width=124, note="", height=30):
        """A box with its middle at (x, y), its text, and the note in small letters below the text."""
        colour = LIGHT[kind]
        self.parts.append(f"<rect x='{x - width / 2}' y='{y - height / 2}' width='{width}' height='{height}' rx='6' "
                          f"fill='{LIGHT['paper']}' stroke='{colour}' stroke-width='1.5'/>")
        self.text(x, y + (-2 if note else 4), text, colour)
        if note:
            self.text(x, y + 11, note, LIGHT["faint"], 9)

    def text(self, x, y, text, colour=LIGHT["ink"], size=12, anchor="middle"):
        self.parts.append(f"<text x='{x}' y='{y}' text-anchor='{anchor}' font-size='{size}' fill='{colour}'>"
                          f"{escape(text)}</text>")

    def arrow(self, *points):
        """A line through the points, with a tip at its end"""
        path = "M" + "L".join(f"{x} {y}" for x, y in points)
        self.parts.append(f"<path d='{path}' fill='none' stroke='{LIGHT['faint']}' stroke-width='1.2' "
                          "marker-end='url(#tip)'/>")


def block_diagram():
    """The mixed block, from x at the bottom to out at the top: what attention and the convolution read and compute."""
    d = Drawing(760, 560, "The mixed block. x goes to key, value and query, which make attention's half; x and the same"
                          " query make the span key, match, kernel and value of the other half; both are joined.")
    d.box(380, 530, "x", note="(B, L, D)", width=90)
    top = {"key": (90, 440), "value": (225, 440), "query": (380, 440), "span_mixed": (525, 440), "cvalue": (680, 440)}
    d.box(*top["key"], "attn.key", "attention", note="linear: key.*")
    d.box(*top["value"], "attn.value", "attention", note="linear: value.*")
    d.box(*top["query"], "query", note="linear: query.*")
    d.box(*top["span_mixed"], "conv.span_mixed", "convolution", 140, "depthwise, K taps")
    d.box(*top["cvalue"], "conv.value", "convolution", 130, "linear: conv_out_layer.*")
    for x, y in top.values():
        d.arrow((380, 515), (380, 490), (x, 490), (x, y + 16))
    d.box(150, 320, "attn.weights", "attention", 170, "softmax(query key\u1d40 / \u221aDh + bias)", 34)
    d.box(525, 370, "conv.span_key", "convolution", 140, "pointwise")
    d.box(525, 300, "conv.match", "convolution", 140, "query \u2299 span_key")
    d.box(525, 230, "conv.kernel", "convolution", 140, "softmax(linear), K taps")
    d.box(150, 150, "attn.out", "attention", 150, "weights \u00b7 value, for each head")
    d.box(600, 150, "conv.out", "convolution", 180, "each token's kernel \u00b7 its neighbours")
    d.box(380, 60, "out", note="side by side: (B, L, 2 H Dh)", width=180)
    d.arrow((90, 425), (90, 380), (120, 380), (120, 338))
    d.arrow((340, 425), (340, 380), (180, 380), (180, 338))
    d.arrow((225, 425), (225, 400), (262, 400), (262, 200), (200, 200), (200, 166))
    d.arrow((135, 303), (135, 166))
    d.arrow((400, 425), (400, 300), (453, 300))
    d.arrow((525, 425), (525, 386))
    d.arrow((525, 355), (525, 316))
    d.arrow((525, 285), (525, 246))
    d.arrow((525, 215), (525, 190), (560, 190), (560, 166))
    d.arrow((680, 425), (680, 190), (650, 190), (650, 166))
    d.arrow((150, 135), (150, 60), (288, 60))
    d.arrow((600, 135), (600, 60), (472, 60))
    d.arrow((380, 45), (380, 16))
    d.text(160, 112, "from all tokens", LIGHT["attention"], 11, "start")
    d.text(590, 112, "from the K tokens around each", LIGHT["convolution"], 11, "end")
    return d


def model_diagram():
    """The whole model: embeddings, one layer drawn large, the heads."""
    d = Drawing(640, 620, "The model. Three tables are added and normed; each layer is mixed attention and"
                          " feed-forward, each with a sum and a norm; a head turns the last hidden states into logits.")
    for x, text, note in ((130, "word", "word_embeddings"), (300, "position", "position_embeddings"),
                          (470, "token type", "token_type_embeddings")):
        d.box(x, 590, text, note=note, width=150)
        d.arrow((x, 575), (x, 550), (300, 550), (300, 530))
    d.box(300, 514, "embeddings.out", note="sum, LayerNorm, dropout", width=190)
    d.parts.append(f"<rect x='70' y='112' width='500' height='368' rx='12' fill='none' stroke='{LIGHT['rule']}' "
                   "stroke-width='1.5' stroke-dasharray='6 4'/>")
    d.text(84, 132, "encoder.layer.N, repeated", LIGHT["faint"], 11, "start")
    steps = ((430, "attention.self.out", "mixed_attention: the block", "ink"),
             (356, "attention.output.out", "LayerNorm(dropout(dense) + x)", "ink"),
             (252, "intermediate.out", "activation(dense), F numbers", "ink"),
             (178, "output.out = out", "LayerNorm(dropout(dense) + x)", "ink"))
    for y, text, note, kind in steps:
        d.box(300, y, text, kind, 220, note, 34)
    d.arrow((300, 498), (300, 448))
    d.arrow((300, 412), (300, 374))
    d.arrow((300, 338), (300, 270))
    d.arrow((300, 234), (300, 196))
    d.arrow((300, 466), (470, 466), (470, 356), (412, 356))
    d.arrow((300, 312), (470, 312), (470, 178), (412, 178))
    d.text(480, 414, "added as it is", LIGHT["faint"], 10, "start")
    d.text(480, 250, "added as it is", LIGHT["faint"], 10, "start")
    d.box(300, 78, "last hidden states", note="(B, L, D)", width=190)
    d.arrow((300, 160), (300, 94))
    d.box(300, 26, "a head: logits", note="masked_lm, discriminator, sequence_classification ...", width=300)
    d.arrow((300, 62), (300, 43))
    return d
