"""The classes that users of Hugging Face expect: thin, over the functions of `model` and `heads`."""

from dataclasses import dataclass

import numpy as np

from . import checkpoint
from .config import ConvBertConfig
from .electra import init_pretraining, mask_tokens, pretraining_loss, pretraining_loss_backward
from .heads import HEADS, task_model, task_model_backward
from .initialize import init_params, resize_tokens
from .inputs import as_array, model_inputs
from .memory import keep_freed_memory
from .model import convbert, convbert_backward


@dataclass
class ModelOutput:
    """What a model returns; fields that a model does not have are None.

    hidden_states: layers + 1 arrays (B, L, D), the last of them `last_hidden_state`; attentions: one (B, H, L, L) a
    layer, kernels: one (B, L, H, K) a layer; acts: every named intermediate.
    """

    loss: np.floating | None = None
    logits: np.ndarray | None = None
    start_logits: np.ndarray | None = None
    end_logits: np.ndarray | None = None
    last_hidden_state: np.ndarray | None = None
    hidden_states: tuple = ()
    attentions: tuple = ()
    kernels: tuple = ()
    acts: dict | None = None


def checked_config(config):
    """The same configuration.   Raises TypeError if it is something else."""
    if not isinstance(config, ConvBertConfig):
        raise TypeError(f"config must be a ConvBertConfig, but is {type(config).__name__}")
    return config


def _dtype_of(params):
    dtype = next(iter(params.values())).dtype
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"params must be float32 or float64 to reckon with, but they are {dtype}; use astype, or load"
                        " them with dtype=np.float32")
    return dtype


class ConvBertModel:
    """Hidden states of tokens.

        model = ConvBertModel.from_pretrained("weights/convbert-tiny")
        out = model(input_ids, attention_mask=mask)
        grads = model.backward(dlast_hidden_state)
    """

    task = None

    def __init__(self, config, params=None, rng=None, scheme="hf", dtype=np.float32):
        """`params` as they are, checked by name and shape; without them, fresh ones.

        rng, scheme, dtype: of fresh parameters, as in `init_params`.
        """
        keep_freed_memory()
        self.config = checked_config(config)
        self.params = (init_params(config, self.task, rng, scheme, dtype) if params is None
                       else checkpoint.check_params(params, config, self.task))
        self.dtype = _dtype_of(self.params)
        self._ran = None

    @classmethod
    def from_pretrained(cls, folder, dtype=np.float32, **options):
        """Read a checkpoint: a folder, a file, or the name of a model on the hub; options as of `checkpoint.load`."""
        return cls(*checkpoint.load(folder, task=cls.task, dtype=dtype, **options))

    def save_pretrained(self, folder, **options):
        """Write `config.json` and `model.safetensors`, each whole or not at all; options as of `checkpoint.save`."""
        checkpoint.save(folder, self.config, self.params, task=self.task, **options)

    def resize_token_embeddings(self, new_num_tokens, rng=None):
        """Make room for so many tokens, as after `tokenizer.add_tokens`; -> the table.   rng: of the new rows"""
        self.config, self.params = resize_tokens(self.config, self.params, new_num_tokens, rng)
        self._ran = None
        return next(x for name, x in self.params.items() if name.endswith("word_embeddings.weight"))

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 rng=None, keep=True):
        """Run the model. Dropout happens if and only if `rng` is passed.

        `keep=False` saves memory, but allows no backward.
        """
        inputs = self._inputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        hidden, acts = convbert(inputs, self.params, self.config, rng, keep)
        self._ran = dict(acts=acts, hidden=hidden, embeds_shape=np.shape(inputs_embeds)) if keep else None
        return self._output(acts, last_hidden_state=hidden)

    def backward(self, dlast_hidden_state, free=False):
        """The gradient of every parameter, under its own name, and of `inputs_embeds` if that was the input.

        With `free`, the output's `acts` are let go as they are read: less memory, and no second backward.
        """
        ran = self._last_run()
        dlast_hidden_state, hidden = np.asarray(dlast_hidden_state), ran["hidden"]
        if (dlast_hidden_state.dtype, dlast_hidden_state.shape) != (hidden.dtype, hidden.shape):
            raise ValueError(f"dlast_hidden_state must be {hidden.dtype} of {hidden.shape} as last_hidden_state, but is"
                             f" {dlast_hidden_state.dtype} of {dlast_hidden_state.shape}")
        self._ran = None if free else ran
        dinputs_embeds, grads = convbert_backward(dlast_hidden_state, ran["acts"], self.params, self.config, free)
        return self._gradients(grads, dinputs_embeds, ran)

    def _gradients(self, grads, dinputs_embeds, ran):
        shape = ran["embeds_shape"]                    # () if there were ids
        return grads | {"inputs_embeds": dinputs_embeds.reshape(shape)} if shape else grads

    def _last_run(self):
        if self._ran is None:
            raise ValueError("backward needs a forward before it that kept its acts: call the model with keep=True")
        return self._ran

    def _inputs(self, *given, **named):
        self._ran = None                               # before new acts are made, so that no two runs are in memory
        return model_inputs(self.config, *given, **named)

    def _output(self, acts, prefix="", **fields):
        layers = [f"{prefix}encoder.layer.{i}" for i in range(self.config.num_hidden_layers)]
        projected = acts.get(f"{prefix}embeddings_project.out", acts[f"{prefix}embeddings.out"])
        return ModelOutput(
            hidden_states=(projected, *(acts[f"{name}.out"] for name in layers)),
            attentions=tuple(acts[f"{name}.attention.self.attn.weights"] for name in layers),
            kernels=tuple(acts[f"{name}.attention.self.conv.kernel"] for name in layers), acts=acts, **fields)


class _WithHead(ConvBertModel):
    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 labels=None, rng=None, keep=True):
        """Run the model; with labels also its loss, after which `backward()` gives the gradients.

        Dropout happens if and only if `rng` is passed. `keep=False` saves memory, but allows no backward.
        """
        inputs = self._inputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        logits, acts = task_model(self.task, inputs, self.params, self.config, rng, keep)
        return self._finish(logits, acts, labels, keep, np.shape(inputs_embeds), logits=logits)

    def _finish(self, scores, acts, labels, keep, embeds_shape, **fields):
        _, _, loss_of, _ = HEADS[self.task]
        loss, loss_acts = (None, None) if labels is None else loss_of(scores, as_array("labels", labels), self.config)
        self._ran = dict(acts=acts, loss_acts=loss_acts, embeds_shape=embeds_shape) if keep else None
        return self._output(acts, "convbert.", loss=loss, **fields)

    def backward(self, dloss=1.0, free=False):
        """The gradient of the loss for every parameter, under its name, and for `inputs_embeds` if that was the input.

        With `free`, the output's `acts` are let go as they are read: less memory, and no second backward.
        """
        ran = self._last_run()
        if ran["loss_acts"] is None:
            raise ValueError("backward needs a loss: pass labels when calling the model")
        if (not isinstance(dloss, (int, float, np.number, np.ndarray)) or np.ndim(dloss)
                or np.asarray(dloss).dtype.kind not in "iuf"):
            raise TypeError(f"dloss must be one number, as the loss is, but is {dloss!r}")
        self._ran = None if free else ran
        _, _, _, loss_backward = HEADS[self.task]
        dinputs_embeds, grads = task_model_backward(
            self.task, loss_backward(dloss, ran["loss_acts"]).reshape(ran["acts"]["logits"].shape), ran["acts"],
            self.params, self.config, free)
        return self._gradients(grads, dinputs_embeds, ran)


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
                 labels=None, cls_index=None, rng=None, keep=True):
        """As the other heads, with an axis for the N choices after that of the batch."""
        arrays = dict(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids,
                      position_ids=position_ids, inputs_embeds=inputs_embeds)
        arrays = {name: as_array(name, a) for name, a in arrays.items() if a is not None}
        given = arrays.get("input_ids", arrays.get("inputs_embeds"))
        for name, a in arrays.items():
            axes = 4 if name == "inputs_embeds" else 3
            if a.ndim != axes:
                raise ValueError(f"{name} must have {axes} axes, (B, N, L{', E' * (axes == 4)}) for N choices, but its"
                                 f" shape is {a.shape}")
            if given is not None and a.shape[:3] != given.shape[:3]:
                raise ValueError(f"{name} must be (B, N, L) = {given.shape[:3]}, but its shape is {a.shape}")
        if cls_index is not None and given is not None:
            cls_index = as_array("cls_index", cls_index)
            if cls_index.shape != given.shape[:2]:
                raise ValueError(f"cls_index must be (B, N) = {given.shape[:2]}, but its shape is {cls_index.shape}")
            cls_index = cls_index.reshape(-1)
        rows = {name: a.reshape(-1, *a.shape[2:]) for name, a in arrays.items()}
        inputs = self._inputs(**rows, cls_index=cls_index)
        logits, acts = task_model(self.task, inputs, self.params, self.config, rng, keep)
        logits = logits.reshape(given.shape[:2])
        return self._finish(logits, acts, labels, keep, np.shape(inputs_embeds), logits=logits)


class ConvBertForQuestionAnswering(_WithHead):
    """Where an answer begins and ends.   start_positions, end_positions (B,)  ->  start_logits, end_logits (B, L)"""

    task = "question_answering"

    def __call__(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                 start_positions=None, end_positions=None, rng=None, keep=True):
        """As the other heads; positions of L and beyond are ignored, negative ones count as 0, as in Hugging Face."""
        if (start_positions is None) != (end_positions is None):
            raise ValueError("pass start_positions and end_positions together, but one of them came alone")
        inputs = self._inputs(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        logits, acts = task_model(self.task, inputs, self.params, self.config, rng, keep)
        labels = None
        if start_positions is not None:
            labels = [as_array(name, positions).reshape(-1) for name, positions in (
                ("start_positions", start_positions), ("end_positions", end_positions))]
            if not all(positions.shape == logits.shape[:1] for positions in labels):
                raise ValueError(f"start_positions and end_positions must be (B,) = {logits.shape[:1]}, but their"
                                 f" shapes are {np.shape(start_positions)} and {np.shape(end_positions)}")
            labels = np.stack(labels, axis=1)
        return self._finish(logits, acts, labels, keep, np.shape(inputs_embeds),
                            start_logits=logits[..., 0], end_logits=logits[..., 1])


class ConvBertForPreTraining:
    """Generator and discriminator together.   labels are made from the input  ->  losses, logits of both

        model = ConvBertForPreTraining(config, generator_config(config))
        special = dict(mask=4, cls=2, sep=3, pad=0)
        out = model(input_ids, attention_mask, rng=RowRandom(seed, step, range(len(input_ids))), special=special)
        grads = model.backward()
    """

    def __init__(self, config, generator_config, params=None, rng=None, scheme="original", dtype=np.float32):
        """`params` as `electra.init_pretraining` names them; without them, fresh ones from `rng`."""
        self.config, self.generator_config = checked_config(config), checked_config(generator_config)
        for name in ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size"):
            ours, theirs = getattr(config, name), getattr(generator_config, name)
            if ours != theirs:
                raise ValueError(f"generator_config must have {name} = {ours}, for both parts share the embeddings, but"
                                 f" has {theirs}")
        rng = np.random.default_rng(0) if rng is None else rng
        fresh = init_pretraining(config, generator_config, rng, scheme, dtype)
        if params is not None:
            checkpoint.check_kinds(params)
            wrong = sorted(name for name in fresh.keys() | params.keys()
                           if name not in fresh or name not in params or fresh[name].shape != params[name].shape)
            if wrong:
                raise ValueError(f"params must have the names and shapes of init_pretraining, but differ in {wrong}")
        self.params = fresh if params is None else params
        self.dtype = _dtype_of(self.params)
        self._ran = None

    def __call__(self, input_ids, attention_mask=None, token_type_ids=None, *, rng, special, dropout=False):
        """Mask, fill, detect.   rng: a `RowRandom`; special: ids of `mask`, `cls`, `sep`, `pad`"""
        self._ran = None
        if not isinstance(special, dict) or not all(isinstance(i, (int, np.integer)) for i in special.values()):
            raise TypeError(f"special must be a dict of names to ids, but is {special!r}")
        missing = {"mask", "cls", "sep", "pad"} - special.keys()
        if missing:
            raise ValueError(f"special must have the ids of mask, cls, sep and pad, but lacks {sorted(missing)}")
        batch = model_inputs(self.config, input_ids, attention_mask, token_type_ids)
        masked, places = mask_tokens(
            batch["input_ids"], batch["attention_mask"], rng, special["mask"], list(special.values()))
        losses, acts = pretraining_loss(
            batch | dict(masked_ids=masked), places, self.params, self.config, self.generator_config, rng, dropout)
        self._ran = acts
        return ModelOutput(loss=losses["loss"], logits=acts["discriminator.logits"], acts=acts | losses)

    def backward(self):
        """The gradient of the loss for every parameter, under its own name."""
        if self._ran is None:
            raise ValueError("backward needs a forward before it: call the model first")
        return pretraining_loss_backward(self._ran, self.params, self.config, self.generator_config)
