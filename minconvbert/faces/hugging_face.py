"""The classes that users of Hugging Face expect: thin wrappers of the functions of `model` and `heads`."""

import copy
import logging
import math
import re
import threading
from functools import partial

import numpy as np

from .. import checkpoint
from ..config import ConvBertConfig
from ..electra import init_pretraining, mask_tokens, pretraining_loss, pretraining_loss_backward
from ..heads import HEADS, task_model, task_model_backward
from ..initialize import init_params, resize_tokens
from ..inputs import as_array, model_inputs, require_generator
from ..memory import keep_freed_memory
from ..model import convbert, convbert_backward
from ..output import Arrays, ModelOutput, folded, listing
from ..shapes import accumulate
from ..threads import checked_threads, side_by_side, slices

log = logging.getLogger(__name__)


# The options of Hugging Face that choose what a call returns, and the field that each can leave out.
RETURNED = {"output_attentions": "attentions", "output_hidden_states": "hidden_states", "return_dict": None}
# field of the answer: what it shows of each layer
OF_LAYER = dict(hidden_states="out", attentions="attention.self.attn.weights", kernels="attention.self.conv.kernel")
TOKENS = 2048                                          # of a part, at most, where nothing is kept for a backward


class _Last(threading.local):
    """What the last call in this thread kept for its backward."""

    run = None


class _Face:
    """What all classes share: a last call in each thread, and the few methods of PyTorch that make sense here."""

    def __init__(self, config, params):
        keep_freed_memory()
        self.config, self.params = config, Arrays(params)
        self.dtype = next(iter(params.values())).dtype
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"params must be float32 or float64 to compute with, but they are {self.dtype}; use astype,"
                            " or load them with dtype=np.float32")
        self._last = _Last()

    def num_parameters(self):
        """How many numbers the parameters hold."""
        return sum(x.size for x in self.params.values())

    def eval(self):
        """Return the model. Nothing changes, because dropout happens if and only if a call gets an `rng`."""
        return self

    def train(self, mode=True):
        """Return the model. Nothing changes, because dropout happens if and only if a call gets an `rng`."""
        return self

    def forward(self, *inputs, **options):
        """The same as calling the model."""
        return self(*inputs, **options)

    def state_dict(self):
        """The parameters, as in `params`: the same arrays."""
        return dict(self.params)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def __setstate__(self, state):
        self.__dict__.update(state, _last=_Last())

    def __repr__(self):
        return listing(self._title(), _parts(self.params))

    def _repr_html_(self):
        return folded(self._title(), _parts(self.params)) + self.params._repr_html_()

    def _title(self):
        return f"{type(self).__name__}: {self.num_parameters():,} parameters, {self.dtype}"


def _parts(params):
    """-> (part of a model, its size) for each; the layers of an encoder are one line"""
    sizes, layers = {}, {}
    for name, x in params.items():
        layer = re.match(r"(.*\blayer)\.(\d+)\.", name)
        part = layer[1] if layer else re.match(r"((convbert|generator|discriminator)\.)?[^.]+", name)[0]
        sizes[part] = sizes.get(part, 0) + x.size
        if layer:
            layers.setdefault(part, set()).add(layer[2])
    return [(part, f"{size:>13,}" + (f" = {len(layers[part])} x {size // len(layers[part]):,}" if part in layers
                                     else "")) for part, size in sizes.items()]


class ConvBertModel(_Face):
    """Hidden states of tokens.

        model = ConvBertModel.from_pretrained("convbert-tiny")
        out = model(input_ids, attention_mask=mask)
        grads = out.backward(dlast_hidden_state)

    `out.backward` goes back through the call that gave `out`; `model.backward` goes back through the last call of the
    thread that it is called in.
    """

    task = None
    _body = ""                                         # what names of acts begin with

    def __init__(self, config, params=None, rng=None, scheme="hf", dtype=np.float32):
        """Take `params` as they are, checked by name and shape, or draw fresh ones.

        rng, scheme, dtype: for fresh parameters, as in `init_params`.
        """
        checked_config(config)
        super().__init__(config, init_params(config, self.task, rng, scheme, dtype) if params is None
                         else checkpoint.check_params(params, config, self.task))

    @classmethod
    def from_pretrained(cls, folder, dtype=np.float32, **options):
        """Read a checkpoint: "convbert-tiny", a folder, a file, or the name of a model on the hub.

        options: those of `checkpoint.load`, including fields of the configuration. With `num_labels`, a head that the
        checkpoint lacks is drawn from seed 0, and that is logged.
        """
        try:
            return cls(*checkpoint.load(folder, task=cls.task, dtype=dtype, **options))
        except checkpoint.NoHeadError:
            if "num_labels" not in options or options.get("new_head") is not None:
                raise
        log.warning("%s has no head for %s: a new one is drawn from seed 0; fine-tune it", folder, cls.task)
        options["new_head"] = np.random.default_rng(0)
        return cls(*checkpoint.load(folder, task=cls.task, dtype=dtype, **options))

    def save_pretrained(self, folder, **options):
        """Write `config.json` and `model.safetensors`, each whole or not at all; options of `checkpoint.save`."""
        checkpoint.save(folder, self.config, self.params, task=self.task, **options)

    def resize_token_embeddings(self, new_num_tokens, rng=None):
        """Resize the tables to `new_num_tokens`, as after `tokenizer.add_tokens`  ->  the table.   rng: for new rows"""
        self.config, self.params = resize_tokens(self.config, self.params, new_num_tokens, rng)
        self._last.run = None
        return next(x for name, x in self.params.items() if name.endswith("word_embeddings.weight"))

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 *, rng=None, keep=True, threads=1, **returned):
        """Run the model. Dropout happens if and only if `rng` is passed.

        `keep=False` saves memory, but allows no backward; with `output_attentions=False`, too, no whole attention map
        is ever in memory.
        threads: the number of parts, each some of the rows, that are computed at once, here and in `backward`. With
        several, `acts` has only hidden states, attention maps, kernels and logits, which are copies; each part draws
        its dropout from a seed that `rng` draws; and memory holds the gradients of each part.
        returned: `output_attentions=False` and `output_hidden_states=False` leave these out; `return_dict=False` gives
        a tuple.
        """
        return self._run((input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds), None,
                         dict(rng=rng, keep=keep, threads=threads, **returned))

    def backward(self, dlast_hidden_state, free=False):
        """The gradient of every parameter, under its own name, and of `inputs_embeds` if that was the input.

        With `free`, the output's `acts` are freed as they are read, which saves memory but allows no second backward.
        """
        return self._backward(self._last.run, dlast_hidden_state, free)

    def _run(self, given, labels, how, cls_index=None, shape=None):
        """Run the model, with its loss if there are labels   ->  ModelOutput or tuple

        given: what `model_inputs` takes, in its order; how: the options of a call; shape: (B, N) if each row is one of
        N choices.
        """
        options = ("rng", "keep", "threads", *RETURNED)
        unknown = ", ".join(sorted(how.keys() - set(options)))
        if unknown:
            raise TypeError(f"besides its inputs, {type(self).__name__} takes {', '.join(options)}, but not {unknown}")
        self._last.run = None                          # before new acts are made, so that memory never holds two runs
        inputs = model_inputs(self.config, *given, cls_index=cls_index)
        scores, acts, parts = self._in_parts(inputs, how)
        rows_shape, embeds_shape = scores.shape, np.shape(given[4])
        if shape is not None:
            scores, embeds_shape = scores.reshape(shape), embeds_shape and (*shape, *embeds_shape[1:])
        loss, loss_acts = (None, None) if labels is None else self._loss(scores, self._labels(labels, scores))
        out = ModelOutput(loss=loss, **self._fields(scores), **self._seen(acts), acts=acts)
        if how["keep"]:
            run = dict(parts=parts, scores=scores, rows_shape=rows_shape, loss_acts=loss_acts,
                       embeds_shape=embeds_shape)
            self._last.run, out._undo = run, partial(self._backward, run)
        for option, field in RETURNED.items():
            if field and not how.get(option, True):
                setattr(out, field, None)
        return out if how.get("return_dict", True) else out.to_tuple()

    def _in_parts(self, inputs, how):
        """-> scores; acts, or with several parts only those that the answer shows; (rows, acts) of each part"""
        (B, L), rng, keep = inputs["token_type_ids"].shape, how["rng"], how["keep"]
        if not keep and not how.get("output_attentions", True):
            keep = None
        threads = checked_threads(how["threads"], B)
        # Where nothing is kept, a part frees its arrays for the next one, so smaller parts need less memory.
        parts = threads if threads == 1 or keep or rng is not None else max(threads, math.ceil(B * L / TOKENS))

        def forward(part):
            some, own_rng = part
            return some, *self._forward({n: x[some] if len(x) == B else x for n, x in inputs.items()}, own_rng, keep)

        shared = side_by_side(forward, zip(slices(B, parts), _streams(rng, parts)), threads)
        if threads == 1:
            [(rows, scores, acts)] = shared
            acts = Arrays(acts)
            return scores, acts, [(rows, acts)]
        scores, ran = None, []
        for rows, found, acts in shared:
            if scores is None:
                scores = np.empty((B, *found.shape[1:]), found.dtype)
            scores[rows] = found
            acts.pop("logits", None)
            ran.append((rows, Arrays(acts)))
            del found, acts                            # before the next part begins
        left_out = {field for option, field in RETURNED.items() if not how.get(option, True)}
        names = [name for field, names in self._seen_names(ran[0][1]).items() if field not in left_out
                 for name in names]
        take = Arrays.__getitem__ if keep else Arrays.pop                  # without a backward, each is freed at once
        together = Arrays({name: np.concatenate([take(acts, name) for _, acts in ran]) for name in names})
        if self.task:
            together["logits"] = scores
        return scores, together, ran

    def _back(self, ran, dscores, backward):
        """The gradients of a run.   backward(dscores, acts)  ->  dinputs_embeds, grads, for one part"""
        dinputs_embeds, grads = [], {}
        for dx, g in side_by_side(lambda part: backward(dscores[part[0]], part[1]), ran["parts"], len(ran["parts"])):
            dinputs_embeds.append(dx)
            accumulate(grads, g)
        shape = ran["embeds_shape"]                    # () if the input was ids
        return Arrays(grads | {"inputs_embeds": np.concatenate(dinputs_embeds).reshape(shape)} if shape else grads)

    def _forward(self, inputs, rng, keep):
        return convbert(inputs, self.params, self.config, rng, keep)

    def _fields(self, scores):
        return dict(last_hidden_state=scores)

    def _seen_names(self, acts):
        """field of the answer -> the acts that it shows"""
        body = self._body
        names = {field: [f"{body}encoder.layer.{i}.{name}" for i in range(self.config.num_hidden_layers)]
                 for field, name in OF_LAYER.items()}
        projected = f"{body}embeddings_project.out"
        names["hidden_states"].insert(0, projected if projected in acts else f"{body}embeddings.out")
        return names

    def _seen(self, acts):
        return {field: tuple(map(acts.get, names)) for field, names in self._seen_names(acts).items()}

    def _backward(self, run, dlast_hidden_state, free=False):
        ran, dhidden = _kept(run), np.asarray(dlast_hidden_state)
        hidden = ran["scores"]
        if (dhidden.dtype, dhidden.shape) != (hidden.dtype, hidden.shape):
            raise ValueError(f"dlast_hidden_state must be {hidden.dtype} of {hidden.shape} as last_hidden_state, but is"
                             f" {dhidden.dtype} of {dhidden.shape}")
        if free:
            run.clear()
        return self._back(ran, dhidden, lambda d, acts: convbert_backward(d, acts, self.params, self.config, free))


def checked_config(config):
    """The same configuration.   Raises TypeError if it is something else."""
    if not isinstance(config, ConvBertConfig):
        raise TypeError(f"config must be a ConvBertConfig, but is {type(config).__name__}")
    return config


def _kept(run):
    """What a call kept for its backward.   Raises ValueError if it kept nothing."""
    if not run:
        raise ValueError("backward needs a forward before it, in the same thread, that kept its acts: call the model"
                         " with keep=True, or call backward on what it returned")
    return dict(run)


def _streams(rng, number):
    """A random generator for each part."""
    if rng is None or number == 1:
        return [rng] * number
    require_generator(rng)
    return [np.random.default_rng(seed) for seed in rng.integers(2**63, size=(number, 2))]


class _WithHead(ConvBertModel):
    _body = "convbert."

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 labels=None, *, rng=None, keep=True, threads=1, **returned):
        """Run the model and, with labels, compute its loss; then `backward()` gives the gradients.

        The other options are those of `ConvBertModel`.
        """
        return self._run((input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds), labels,
                         dict(rng=rng, keep=keep, threads=threads, **returned))

    def backward(self, dloss=1.0, free=False):
        """The gradient of the loss for every parameter, under its name, and for `inputs_embeds` if that was the input.

        With `free`, the output's `acts` are freed as they are read, which saves memory but allows no second backward.
        """
        return self._backward(self._last.run, dloss, free)

    def _forward(self, inputs, rng, keep):
        return task_model(self.task, inputs, self.params, self.config, rng, keep)

    def _labels(self, labels, scores):
        return as_array("labels", labels)

    def _loss(self, scores, labels):
        _, _, loss, _ = HEADS[self.task]
        return loss(scores, labels, self.config)

    def _fields(self, scores):
        return dict(logits=scores)

    def _backward(self, run, dloss=1.0, free=False):
        ran = _kept(run)
        if ran["loss_acts"] is None:
            raise ValueError("backward needs a loss: pass labels when calling the model")
        if (not isinstance(dloss, (int, float, np.number, np.ndarray)) or np.ndim(dloss)
                or np.asarray(dloss).dtype.kind not in "iuf"):
            raise TypeError(f"dloss must be one number, as the loss is, but is {dloss!r}")
        _, _, _, loss_backward = HEADS[self.task]
        dlogits = loss_backward(dloss, ran["loss_acts"]).reshape(ran["rows_shape"])
        if free:                                       # logits and probabilities, each as wide as the vocabulary
            run.clear()
            del ran["scores"], ran["loss_acts"]
            for _, acts in ran["parts"]:
                acts.pop("logits", None)
        return self._back(ran, dlogits, lambda d, acts: task_model_backward(
            self.task, d, acts, self.params, self.config, free))


class ConvBertForMaskedLM(_WithHead):
    """Words for masked places.   labels (B, L), -100 where there is none  ->  logits (B, L, V)"""

    task = "masked_lm"


class ConvBertForSequenceClassification(_WithHead):
    """A label, labels or numbers for a sentence.   labels (B,) or (B, N)  ->  logits (B, N)"""

    task = "sequence_classification"


class ConvBertForTokenClassification(_WithHead):
    """A label for each token.   labels (B, L), -100 where there is none  ->  logits (B, L, N)"""

    task = "token_classification"


class ConvBertForMultipleChoice(_WithHead):
    """The choice that fits best.   input_ids (B, N, L), labels (B,)  ->  logits (B, N)"""

    task = "multiple_choice"

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 labels=None, *, cls_index=None, rng=None, keep=True, threads=1, **returned):
        """Like the other heads, with an axis for the N choices after the batch axis; cls_index (B, N)."""
        rows, shape = _rows_of_choices(dict(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids,
            position_ids=position_ids, inputs_embeds=inputs_embeds))
        if cls_index is not None and shape is not None:
            cls_index = as_array("cls_index", cls_index)
            if cls_index.shape != shape:
                raise ValueError(f"cls_index must be (B, N) = {shape}, but its shape is {cls_index.shape}")
            cls_index = cls_index.reshape(-1)
        return self._run(tuple(rows.values()), labels, dict(rng=rng, keep=keep, threads=threads, **returned), cls_index,
                         shape)


def _rows_of_choices(inputs):
    """name -> array (B, N, L, ...) or None   ->  name -> array (B N, L, ...) or None, and (B, N)"""
    arrays = {name: as_array(name, a) for name, a in inputs.items() if a is not None}
    given = arrays.get("input_ids", arrays.get("inputs_embeds"))
    for name, a in arrays.items():
        axes, last = (4, ", E") if name == "inputs_embeds" else (3, "")
        if a.ndim != axes:
            raise ValueError(f"{name} must have {axes} axes, (B, N, L{last}) for N choices, but its shape is {a.shape}")
        if given is not None and a.shape[:3] != given.shape[:3]:
            raise ValueError(f"{name} must be (B, N, L) = {given.shape[:3]}, but its shape is {a.shape}")
    rows = {name: a.reshape(-1, *a.shape[2:]) for name, a in arrays.items()}
    return {name: rows.get(name) for name in inputs}, None if given is None else given.shape[:2]


class ConvBertForQuestionAnswering(_WithHead):
    """Where an answer begins and ends.   start_positions, end_positions (B,)  ->  start_logits, end_logits (B, L)"""

    task = "question_answering"

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 start_positions=None, end_positions=None, *, rng=None, keep=True, threads=1, **returned):
        """Like the other heads; positions of L and beyond are ignored, negative ones count as 0, as in Hugging Face."""
        if (start_positions is None) != (end_positions is None):
            raise ValueError("pass start_positions and end_positions together, but one of them was left out")
        labels = None if start_positions is None else (start_positions, end_positions)
        return self._run((input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds), labels,
                         dict(rng=rng, keep=keep, threads=threads, **returned))

    def _labels(self, labels, scores):
        starts, ends = (as_array(name, positions).reshape(-1) for name, positions in zip(
            ("start_positions", "end_positions"), labels))
        if not starts.shape == ends.shape == scores.shape[:1]:
            raise ValueError(f"start_positions and end_positions must be (B,) = {scores.shape[:1]}, but their shapes"
                             f" are {np.shape(labels[0])} and {np.shape(labels[1])}")
        return np.stack([starts, ends], axis=1)

    def _fields(self, scores):
        return dict(start_logits=scores[..., 0], end_logits=scores[..., 1])


class ConvBertForPreTraining(_Face):
    """Generator and discriminator together; the labels are made from the input  ->  loss, the discriminator's logits

    Both losses and all else are in `acts`.

        model = ConvBertForPreTraining(config, generator_config(config))
        special = dict(mask=4, cls=2, sep=3, pad=0)
        out = model(input_ids, attention_mask, rng=RowRandom(seed, step, range(len(input_ids))), special=special)
        grads = out.backward()
    """

    def __init__(self, config, generator_config, params=None, rng=None, scheme="original", dtype=np.float32):
        """Take `params` as `electra.init_pretraining` names them, or draw fresh ones from `rng`."""
        checked_config(config)
        self.generator_config = checked_config(generator_config)
        for name in ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size"):
            ours, theirs = getattr(config, name), getattr(generator_config, name)
            if ours != theirs:
                raise ValueError(f"generator_config must have {name} = {ours}, because both parts share the embeddings,"
                                 f" but has {theirs}")
        rng = np.random.default_rng(0) if rng is None else rng
        fresh = init_pretraining(config, generator_config, rng, scheme, dtype)
        if params is not None:
            checkpoint.check_kinds(params)
            wrong = sorted(name for name in fresh.keys() | params.keys()
                           if name not in fresh or name not in params or fresh[name].shape != params[name].shape)
            if wrong:
                raise ValueError(f"params must have the names and shapes of init_pretraining, but differ in {wrong}")
        super().__init__(config, fresh if params is None else params)

    def __call__(self, input_ids, attention_mask=None, token_type_ids=None, *, rng, special, dropout=False, threads=1):
        """Mask, fill, detect.   rng: a `RowRandom`; special: ids of `mask`, `cls`, `sep`, `pad`

        threads: as for the other classes, but dropout is the same for every number of them. With several, `acts` also
        has the sampled words, the corrupted ids, which words are replaced, and the logits of both parts.
        """
        self._last.run = None
        if not isinstance(special, dict) or not all(isinstance(i, (int, np.integer)) for i in special.values()):
            raise TypeError(f"special must be a dict of names to ids, but is {special!r}")
        missing = {"mask", "cls", "sep", "pad"} - special.keys()
        if missing:
            raise ValueError(f"special must have the ids of mask, cls, sep and pad, but lacks {sorted(missing)}")
        batch = model_inputs(self.config, input_ids, attention_mask, token_type_ids)
        threads = checked_threads(threads, len(batch["input_ids"]))
        batch["masked_ids"], places = mask_tokens(
            batch["input_ids"], batch["attention_mask"], rng, special["mask"], list(special.values()))
        counts = len(places["labels"]), np.count_nonzero(batch["attention_mask"])

        def forward(rows):
            part, its_places, its_rng = _rows_of(rows, batch, places, rng)
            return pretraining_loss(
                part, its_places, self.params, self.config, self.generator_config, its_rng, dropout, counts)

        losses, parts = {}, []
        for part_losses, acts in side_by_side(forward, slices(len(batch["input_ids"]), threads), threads):
            accumulate(losses, part_losses)
            parts.append(acts)
        if threads > 1:
            acts = {name: np.concatenate([part[name] for part in parts]) for name in acts if _SHOWN.search(name)}
        out = ModelOutput(loss=losses["loss"], logits=acts["discriminator.logits"], acts=Arrays(acts | losses))
        self._last.run = run = dict(parts=parts)
        out._undo = partial(self._backward, run)
        return out

    def backward(self):
        """The gradient of the loss for every parameter, under its own name."""
        return self._backward(self._last.run)

    def _backward(self, run):
        parts, grads = _kept(run)["parts"], {}
        backward = lambda acts: pretraining_loss_backward(acts, self.params, self.config, self.generator_config)
        for g in side_by_side(backward, parts, len(parts)):
            accumulate(grads, g)
        return Arrays(grads)


_SHOWN = re.compile(rf"layer\.\d+\.({'|'.join(map(re.escape, OF_LAYER.values()))})$"
                    r"|^(sampled|corrupted|replaced|generator\.words|discriminator\.logits)$")


def _rows_of(rows, batch, places, rng):
    """The same for some of the rows alone.   rows: a slice; rng: a `RowRandom`"""
    here = (places["rows"] >= rows.start) & (places["rows"] < rows.stop)
    places = {name: x[here] for name, x in places.items()}
    places["rows"] -= rows.start
    own = copy.copy(rng)
    own.rows = rng.rows[rows]
    return {name: x[rows] for name, x in batch.items()}, places, own
