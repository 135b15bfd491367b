"""Cases of larger parts: the model, heads with losses, optimizer, training steps, tokenizer, from text to answers."""

import numpy as np

from .. import heads, model, ops, optim, tokenizer
from ..config import ConvBertConfig
from ..inputs import model_inputs
from ..shapes import sub, under
from .cases import CASES, MASK, SIX_HEADS, TINY, add_case, draw, draw_params, nearly_flat, ordered, single
from .trace import BY_HAND, Passes, traced

__all__ = ["CASES"]    # all cases, including those of `cases`


def _model_passes(forward, backward, prefix="", **more):
    """The Passes of a model; the gradient of its input is that of the sum in the embeddings."""
    def back(dout, acts, p):
        dinputs_embeds, grads = backward(dout, acts, p)
        return dict(inputs_embeds=dinputs_embeds), grads
    return Passes(forward, back, lambda inputs, acts: dict(inputs_embeds=acts[f"{prefix}embeddings.total"]), **more)


def task_passes(task, labels, cfg):
    """The Passes of a model with a head, from ids to the loss."""
    _, _, loss_of, loss_backward = heads.HEADS[task]
    questions = lambda logits: logits.reshape(1, -1) if task == "multiple_choice" else logits
    return _model_passes(lambda inputs, p: heads.task_model(task, inputs, p, cfg),
                         lambda *back: heads.task_model_backward(task, *back, cfg), "convbert.",
                         loss=(lambda logits: loss_of(questions(logits), labels, cfg), loss_backward))


def _tokens(cfg, rng, B=2, L=7, mask=MASK):
    ids = rng.integers(1, cfg.vocab_size, (B, L))
    if mask is not None:
        ids = np.where(mask == 1, ids, cfg.pad_token_id)
    types = np.arange(L)[None] >= np.array([[L // 2], [2]])[:B]
    arrays = dict(input_ids=ids, token_type_ids=types.astype(np.int64))
    return arrays if mask is None else arrays | dict(attention_mask=mask)


def _model(id, purpose, changes, arrays=_tokens, **more):
    config = TINY | changes
    cfg = ConvBertConfig.from_dict(config)

    def given():
        rng = np.random.default_rng(sum(id.encode()))
        inputs = arrays(cfg, rng)
        shape = (inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]).shape[:2]
        inputs["dout"] = draw(rng, *shape, cfg.hidden_size)
        return under("in", inputs) | under("params", draw_params(cfg, None, rng))

    def run(given, gradients=BY_HAND):
        inputs, p = sub(given, "in"), sub(given, "params")
        passes = _model_passes(lambda inputs, p: model.convbert(inputs, p, cfg),
                               lambda *back: model.convbert_backward(*back, cfg), dout=inputs.pop("dout"))
        return ordered(traced(passes, model_inputs(cfg, **inputs), p, cfg, gradients))

    add_case(f"model.{id}", purpose, given, run, config, **more)


_model("padding", "Embeddings and two layers; padding, two token types", {},
       padding="Two tokens of the second sequence are padded, and [PAD] has an embedding that is not zero.",
       token_types="Both types occur, and change at another place in each sequence.")
_model("project", "Embeddings narrower than the hidden states, feed-forward in groups",
       dict(embedding_size=10, num_groups=2, num_hidden_layers=1),
       embedding_project="A linear map widens the embeddings.", groups="Two groups.")
_model("one_token", "A sequence of one token, which attends to itself alone", dict(num_hidden_layers=1),
       lambda cfg, rng: _tokens(cfg, rng, L=1, mask=None), one_token="Only the middle tap reaches a token.",
       degenerate="A kernel has one tap that meets a token, and attention one token to look at.")
_model("wide_kernel", "A kernel wider than the sequence", dict(conv_kernel_size=9, num_hidden_layers=1),
       lambda cfg, rng: _tokens(cfg, rng, L=3, mask=None),
       kernel_wider_than_sequence="Nine taps, three tokens: the outer taps meet zeros only.")
_model("blank_row", "A sequence that is padding alone attends to all its tokens alike", dict(num_hidden_layers=1),
       lambda cfg, rng: _tokens(cfg, rng, mask=np.array([[1] * 7, [0] * 7])),
       fully_masked_row="The smallest number of the dtype swallows the scores, so each weight is 1 / L.",
       degenerate="In the row of padding, nothing tells tokens apart for attention.")
_model("head_ratio", "Head ratio 4: one head of either kind", dict(head_ratio=4, num_hidden_layers=1),
       head_ratio="The heads are max(1, 4 // 4) of each kind, and as wide as it takes to fill the hidden size.",
       degenerate="With one head of each kind, axes of heads cannot be mistaken.")
_model("activation", "Another activation, another eps",
       dict(hidden_act="relu", layer_norm_eps=0.05, num_hidden_layers=1),
       eps="The eps of the configuration is large enough to see in every norm.")
_model("positions", "Positions that are given, not counted", dict(num_hidden_layers=1),
       lambda cfg, rng: _tokens(cfg, rng) | dict(
           position_ids=np.array([[3, 4, 5, 6, 7, 8, 9], [11, 10, 5, 5, 2, 1, 0]])),
       positions="Neither from 0 nor in order.")
_model("inputs_embeds", "Embedded words go in, in place of ids", dict(embedding_size=10, num_hidden_layers=1),
       lambda cfg, rng: dict(inputs_embeds=draw(rng, 2, 7, 10), attention_mask=MASK),
       inputs_embeds="They take the place of the word table; positions and types are still added.")


def _head(id, task, purpose, changes, labels, params=lambda params, rng: params, **flags):
    config = SIX_HEADS | dict(num_hidden_layers=1) | changes
    cfg = ConvBertConfig.from_dict(config)

    def given():
        rng = np.random.default_rng(sum(id.encode()))
        inputs = _tokens(cfg, rng) | dict(labels=labels(rng))
        return under("in", inputs) | under("params", params(draw_params(cfg, task, rng), rng))

    def run(given, gradients=BY_HAND):
        inputs, p = sub(given, "in"), sub(given, "params")
        passes = task_passes(task, inputs.pop("labels"), cfg)
        return ordered(traced(passes, model_inputs(cfg, **inputs), p, cfg, gradients))

    add_case(f"heads.{id}", purpose, given, run, config, **flags)


_head("masked_lm", "masked_lm", "Words at masked places; the output table is the embedding table",
      dict(hidden_act="relu", embedding_size=10),
      lambda rng: np.where(rng.random((2, 7)) < 0.5, rng.integers(0, 23, (2, 7)), -100),
      tied="The table's gradient has two parts, of the lookup and of the output; the row of [PAD] has the second only.",
      always_gelu="The head's activation is gelu, whatever hidden_act says (relu here).")
_head("masked_lm_untied", "masked_lm", "The same with an output table of its own", dict(tie_word_embeddings=False),
      lambda rng: np.where(rng.random((2, 7)) < 0.5, rng.integers(0, 23, (2, 7)), -100))
_head("masked_lm_small_variance", "masked_lm",
      "Words at masked places; the norms of embeddings and head read rows that vary by 0.004 only",
      dict(num_attention_heads=4),
      lambda rng: np.where(rng.random((2, 7)) < 0.5, rng.integers(0, 23, (2, 7)), -100),
      lambda params, rng: nearly_flat(params, rng, r"_predictions\.dense\.weight|(position|type)_embeddings\.weight",
                                      r"_predictions\.dense\.bias|word_embeddings\.weight"),
      small_variance="An eps of 1e-5 shows, in either norm alone.")
_head("discriminator", "discriminator", "Was this word replaced? Padding does not count", {},
      lambda rng: np.where(MASK == 1, rng.integers(0, 2, (2, 7)), -100))
_head("single_label", "sequence_classification", "One of three classes for a sequence",
      dict(num_labels=3, hidden_act="relu"), lambda rng: np.array([2, 0]),
      first_token="The head reads the first token alone, and uses hidden_act.")
_head("multi_label", "sequence_classification", "Any of three classes",
      dict(num_labels=3, problem_type="multi_label_classification"), lambda rng: np.array([[1.0, 0, 1], [0, 0, 1]]))
_head("regression", "sequence_classification", "One number", dict(num_labels=1, problem_type="regression"),
      lambda rng: np.array([0.5, -1.25]))
_head("token_classification", "token_classification", "A class for every token", dict(num_labels=4),
      lambda rng: np.where(MASK == 1, rng.integers(0, 4, (2, 7)), -100))
_head("question_answering", "question_answering", "Where an answer begins and ends", {},
      lambda rng: np.array([[1, 4], [7, 0]]), outside="A start at L = 7 lies outside the window and is ignored.")
_head("multiple_choice", "multiple_choice", "One logit a choice, from the last token",
      dict(summary_use_proj=True, summary_activation="tanh"), lambda rng: np.array([1]),
      rows="The two rows are the two choices of one question; labels choose among them.")


# Optimizer and training.

ADAM = dict(beta1=0.9, beta2=0.999, eps=1e-6)
AS_OPTIONS = dict(betas=(ADAM["beta1"], ADAM["beta2"]), eps=ADAM["eps"])       # of `adam_step`
SCHEDULE = dict(steps=20, warmup=4)


def _adam_given():
    rng = np.random.default_rng(7)
    shapes = {"dense.weight": (3, 4), "dense.bias": (3,), "LayerNorm.weight": (4,)}
    steps = {f"step{i}.{name}": draw(rng, *shape, scale=scale) for i, scale in enumerate([1, 1e-3, 1e-6])
             for name, shape in shapes.items()}
    return {f"params.{name}": draw(rng, *shape) for name, shape in shapes.items()} | under("in", steps)


def _adam_run(given):
    params = {name: x.copy() for name, x in sub(given, "params").items()}
    state, found = optim.adam_state(params), {}
    for i in range(3):
        grads = sub(sub(given, "in"), f"step{i}")
        optim.adam_step(params, grads, state, 0.125, decay=0.25, **AS_OPTIONS)
        found |= {f"acts.step{i}.{name}": x.copy() for name, x in [*state.items(), *params.items()]}
    return found


add_case("optimizer.adam", "Three steps of Adam without bias correction, rate 0.125, decoupled decay 0.25: gradients in"
         " in.step0 ... in.step2, what each step leaves in acts.step0 ...: moments m and v, parameters",
         _adam_given, _adam_run, text=dict(recipe=dict(rate=0.125, decay=0.25) | ADAM),
         small_gradients="The last gradients are as small as eps = 1e-6, which stands outside the root.",
         decay="Neither a bias nor a LayerNorm is decayed, and what is decayed is the parameter, not its gradient.")


def _schedule_run(given):
    peak = given["in.peak"]
    rates = [optim.learning_rate(int(step), peak, **SCHEDULE) for step in given["in.step"]]
    return {"acts.rate": np.array(rates, peak.dtype)}


add_case("optimizer.schedule", "Rates of some steps: linear decay over 20 steps to 0, times warm-up over 4",
         lambda: {"in.step": np.array([0, 1, 2, 3, 4, 5, 10, 19, 20, 25]), "in.peak": single(0.01)}, _schedule_run,
         text=dict(recipe=SCHEDULE))


def _clip_run(given):
    grads = {name: g.copy() for name, g in sub(given, "in").items()}
    norm = optim.clip_by_global_norm(grads, 1.0)
    return {"acts.norm": np.asarray(norm, next(iter(grads.values())).dtype)} | under("acts", grads)


add_case("optimizer.clip", "Gradients are scaled, all by one factor, to a global norm of 1",
         lambda: {"in.a": draw(np.random.default_rng(1), 3, 4), "in.b": draw(np.random.default_rng(2), 5)}, _clip_run,
         one_factor="The norm is that of all gradients laid end to end, not of each.")

TRAINED = TINY | dict(num_hidden_layers=1)


def _train_given():
    cfg, rng = ConvBertConfig.from_dict(TRAINED), np.random.default_rng(3)
    labels = np.where(rng.random((2, 7)) < 0.5, rng.integers(0, 23, (2, 7)), -100)
    return under("in", _tokens(cfg, rng) | dict(labels=labels)) | under("params", draw_params(cfg, "masked_lm", rng))


def forget(before, grads):
    """The gradients of a step, without those of the step before."""
    return grads


def _train_run(given, gradients=BY_HAND):
    cfg, inputs = ConvBertConfig.from_dict(TRAINED), sub(given, "in")
    labels = inputs.pop("labels")
    params = {name: x.copy() for name, x in sub(given, "params").items()}
    ready, state = model_inputs(cfg, **inputs), optim.adam_state(params)
    passes = task_passes("masked_lm", labels, cfg)
    losses, norms, kept, grads = [], [], {}, {}
    for step in range(1, 11):
        found = traced(passes, ready, params, cfg, gradients or BY_HAND)
        grads = forget(grads, sub(found, "grads"))
        losses.append(found["loss"])
        norms.append(optim.clip_by_global_norm(grads, 1.0))
        rate = optim.learning_rate(step, 0.01, **SCHEDULE)
        optim.adam_step(params, grads, state, rate, decay=0.01, **AS_OPTIONS)
        if step in (1, 10):
            kept |= {f"acts.step{step}.{name}": x.copy() for name, x in params.items()}
    return {"acts.losses": np.array(losses), "acts.norms": np.array(norms, losses[0].dtype)} | kept


add_case("optimizer.ten_steps", "Ten steps of training a masked-word model on one batch: step 1 to 10 of the schedule, "
         "gradients clipped to 1; losses before each step, norms before clipping, parameters after steps 1 and 10",
         _train_given, _train_run, TRAINED, text=dict(recipe=dict(peak=0.01, decay=0.01, clip=1.0) | SCHEDULE | ADAM))


# Tokenizer, and from text to answer.

VOCABULARY = """
[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on mat ##s ##ting un ##want ##ed want run ##ning a i ' , . ! ? - ##a ##b ab
cafe strasse ß ##ß 中 国 ##国 uni ##code 1 ##2 2 $ ( ) na ##ive ς σ ##ς ##σ ##c ##bc + < = > ^ ~ | `
""".split()
TEXTS = ["The cat sat on the mat.", "unwanted, running", "UNWANTED Cats!", "Café naïve CAFE\u0301", "中国cat 国",
         "aaab ababab", "the\u00a0cat\u200bsat\tthe\u2028mat", "[MASK] the[MASK]cat [mask]", "zebra unzebra",
         "a" * 100, "a" * 101,
         "12 $(12)-1", "can't", "\u03a3\u03c3\u03c2 \u03a3", "straße", "", "i\u0307 \u0130", "cat\u00adsat \ufffdcat",
         "$the cat+sat=a<b>the ^a~b|a `cat`", "\u03c3\u03a3, \u03a3\u03a3", "abc want\u0294"]
PAIRS = {0: "a mat?", 2: "the cat"}
TOKENS = ("input_ids", "token_type_ids", "offset_mapping")


def _lines_run(given):
    tok = tokenizer.ConvBertTokenizerFast(VOCABULARY)
    found = {}
    for i, text in enumerate(TEXTS):
        row = tok(text, PAIRS.get(i), return_offsets_mapping=True)
        found |= {f"line{i:02}.{field}": np.array(row[field]) for field in TOKENS}
    return found


add_case("tokenizer.lines", "Texts to ids, token types and offsets (counted in characters, that is in code points)",
         lambda: {}, _lines_run, text=dict(vocabulary=VOCABULARY, do_lower_case=True, lines=[
             dict(text=text) | ({"pair": PAIRS[i]} if i in PAIRS else {}) for i, text in enumerate(TEXTS)]))

ANSWERING = TINY | dict(vocab_size=len(VOCABULARY), num_hidden_layers=1)
ASKED = ["The cat sat on the [MASK].", "Cats [MASK]!"]


def _answer_given():
    cfg = ConvBertConfig.from_dict(ANSWERING)
    return under("params", draw_params(cfg, "masked_lm", np.random.default_rng(11)))


def _answer_run(given):
    cfg, p = ConvBertConfig.from_dict(ANSWERING), sub(given, "params")
    tok = tokenizer.ConvBertTokenizerFast(VOCABULARY)
    batch = dict(tok(ASKED, padding=True, return_tensors="np"))
    logits, _ = heads.task_model("masked_lm", model_inputs(cfg, **batch), p, cfg)
    places = np.argwhere(batch["input_ids"] == tok.mask_token_id)
    at_mask = logits[places[:, 0], places[:, 1]]
    probs = ops.softmax(at_mask)
    return under("acts", batch | dict(logits=at_mask, probs=probs, best=np.argsort(-probs, axis=-1)[:, :3]))


add_case("text.fill_mask", "Two texts, the shorter padded on the right, to the three likeliest words at each [MASK]",
         _answer_given, _answer_run, ANSWERING, text=dict(vocabulary=VOCABULARY, do_lower_case=True, texts=ASKED))
