"""The configuration of a model, checked when it is made, and the inventory of parameters that follows from it."""

import json
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .files import no_key_twice, write_atomic

ACTIVATION_NAMES = (
    "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_10", "quick_gelu", "relu", "relu2",
    "leaky_relu", "silu", "swish", "tanh", "sigmoid", "mish", "linear")
SUMMARY_TYPES = ("last", "first", "mean", "cls_index")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
TASKS = ("masked_lm", "sequence_classification", "multiple_choice", "token_classification", "question_answering",
         "discriminator")


@dataclass(frozen=True)
class ConvBertConfig:
    """What a ConvBERT is made of; fields, defaults and `config.json` are those of Hugging Face.

    Three fields are ours: `head_ratio_semantics`, `mask_value` and `mask_convolution`.

    Raises ValueError or TypeError for a model that cannot work.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2
    embedding_size: int = 768
    head_ratio: int = 2
    conv_kernel_size: int = 9
    num_groups: int = 1
    classifier_dropout: float | None = None
    tie_word_embeddings: bool = True
    num_labels: int = 2
    id2label: dict | None = None
    problem_type: str | None = None
    summary_type: str = "last"
    summary_use_proj: bool = False
    summary_proj_to_labels: bool = False
    summary_activation: str | None = None
    summary_first_dropout: float = 0.0
    summary_last_dropout: float = 0.0
    # "huggingface": both kinds of heads fill hidden_size whatever the ratio.
    # "original": a head is hidden_size / num_attention_heads wide, so the ratio narrows the block.
    head_ratio_semantics: str = "huggingface"
    # What is added to the scores of padded positions; None is the smallest number of the dtype.
    mask_value: float | None = None
    # True: padded positions are zeroed before both convolutions, so that padding changes no answer.
    mask_convolution: bool = False
    # Fields of a config.json that mean nothing here; kept, and written back.
    unknown: dict = field(default_factory=dict)

    @property
    def heads(self):
        """H: attention heads, and as many convolution heads."""
        return max(1, self.num_attention_heads // self.head_ratio)

    @property
    def head_size(self):
        """Dh: width of one head of either kind."""
        if self.head_ratio_semantics == "original":
            return self.hidden_size // self.num_attention_heads
        return self.hidden_size // self.heads // 2

    @property
    def classifier_dropout_prob(self):
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    def replace(self, **changes):
        """The same configuration but for `changes`, checked again."""
        if "num_labels" in changes and "id2label" not in changes:
            changes["id2label"] = None
        return replace(self, **changes)

    def __post_init__(self):
        for f in fields(self):
            self._check_kind(f.name, f.type)
            if isinstance(value := getattr(self, f.name), float):
                object.__setattr__(self, f.name, float(value))     # a np.float64 would widen arrays of float32
        positive = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                    "max_position_embeddings", "type_vocab_size", "embedding_size", "head_ratio", "conv_kernel_size",
                    "num_groups", "num_labels")
        for name in positive:
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
                     "summary_first_dropout", "summary_last_dropout"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < 1, name, "a probability in [0, 1)", value)
        _require(0 < self.layer_norm_eps < 1, "layer_norm_eps", "between 0 and 1", self.layer_norm_eps)
        _require(0 <= self.initializer_range < math.inf, "initializer_range", "finite and not negative",
                 self.initializer_range)
        _require(self.pad_token_id is None or 0 <= self.pad_token_id < self.vocab_size, "pad_token_id",
                 f"None or an id below vocab_size = {self.vocab_size}", self.pad_token_id)
        _require(self.hidden_act in ACTIVATION_NAMES, "hidden_act", f"one of {', '.join(ACTIVATION_NAMES)}",
                 self.hidden_act)
        _require(self.summary_activation in (None, *ACTIVATION_NAMES), "summary_activation",
                 f"None or one of {', '.join(ACTIVATION_NAMES)}", self.summary_activation)
        _require(self.summary_type in SUMMARY_TYPES, "summary_type", f"one of {', '.join(SUMMARY_TYPES)}",
                 self.summary_type)
        _require(self.problem_type in (None, *PROBLEM_TYPES), "problem_type",
                 f"None or one of {', '.join(PROBLEM_TYPES)}", self.problem_type)
        _require(self.head_ratio_semantics in ("huggingface", "original"), "head_ratio_semantics",
                 "'huggingface' or 'original'", self.head_ratio_semantics)
        _require(self.mask_value is None or -math.inf < self.mask_value < 0, "mask_value",
                 "None or a finite negative number", self.mask_value)
        _require(self.conv_kernel_size % 2 == 1, "conv_kernel_size", "odd, for a kernel needs a middle",
                 self.conv_kernel_size)
        _require(self.hidden_size % self.num_attention_heads == 0, "hidden_size",
                 f"a multiple of num_attention_heads = {self.num_attention_heads}", self.hidden_size)
        if self.head_ratio_semantics == "huggingface":
            _require(self.hidden_size % (2 * self.heads) == 0, "hidden_size",
                     f"a multiple of {2 * self.heads}, for {self.heads} attention heads and as many convolution heads"
                     " fill it", self.hidden_size)
        for name in ("hidden_size", "intermediate_size"):
            _require(getattr(self, name) % self.num_groups == 0, name, f"a multiple of num_groups = {self.num_groups}",
                     getattr(self, name))
        _require(self.id2label is None or self.id2label.keys() == set(range(self.num_labels)), "id2label",
                 f"a label for each of 0 .. num_labels - 1 = {self.num_labels - 1}", self.id2label)
        _require(all(isinstance(label, (str, int)) for label in (self.id2label or {}).values()), "id2label",
                 "a dict of numbers to strings", self.id2label)

    def _check_kind(self, name, kind):
        value = getattr(self, name)
        kinds = {int: (int,), float: (int, float), bool: (bool,), str: (str,), dict: (dict,)}
        wanted = [k for k in (int, float, bool, str, dict) if k is kind or k in getattr(kind, "__args__", ())]
        if value is None and type(None) in getattr(kind, "__args__", ()):
            return
        fits = any(isinstance(value, kinds[k]) and (k is bool or not isinstance(value, bool)) for k in wanted)
        if not fits:
            names = " or ".join(k.__name__ for k in wanted)
            raise TypeError(f"{name} must be {names}, but is {value!r} ({type(value).__name__})")
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{name} must be a number, but is nan")

    @classmethod
    def from_dict(cls, entries):
        """Read the entries of a `config.json`; those unknown here are kept in `unknown`.

        Raises ValueError if `model_type` is another model's, or a value cannot work.
        """
        if not isinstance(entries, dict):
            raise TypeError(f"entries must be a dict, but are {type(entries).__name__}")
        entries = dict(entries)
        model_type = entries.pop("model_type", "convbert")
        _require(model_type in ("convbert", "conv_bert"), "model_type", "'convbert'", model_type)
        entries.pop("label2id", None)
        if entries.get("id2label") is not None:
            labels = entries["id2label"]
            if not isinstance(labels, dict) or not all(str(i).isdecimal() for i in labels):
                raise ValueError(f"id2label must map the numbers of labels to their names, but is {labels!r}")
            labels = {int(i): label for i, label in labels.items()}
            _require(entries.setdefault("num_labels", len(labels)) == len(labels), "num_labels",
                     f"{len(labels)}, for so many labels are in id2label", entries["num_labels"])
            entries["id2label"] = None if labels == _unnamed_labels(len(labels)) else labels
        known = {f.name for f in fields(cls)} - {"unknown"}
        unknown = {name: value for name, value in entries.items() if name not in known}
        return cls(**{name: value for name, value in entries.items() if name in known}, unknown=unknown)

    @classmethod
    def from_json(cls, path):
        """Read `config.json`; a folder stands for the one inside it."""
        path = Path(path)
        path = path / "config.json" if path.is_dir() else path
        try:
            entries = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_key_twice)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} must be JSON, but it cannot be read as that: {error}") from None
        if not isinstance(entries, dict):
            raise ValueError(f"{path} must hold one JSON object, but it holds {type(entries).__name__}")
        return cls.from_dict(entries)

    def to_dict(self):
        """The entries of `config.json`. Fields of ours and of single heads appear only if they are not the default."""
        entries = dict(self.unknown) | {"model_type": "convbert"}
        for f in fields(self):
            value = getattr(self, f.name)
            rare = f.name.startswith(("summary_", "mask_", "head_ratio_semantics", "problem_type"))
            if f.name not in ("id2label", "num_labels", "unknown") and not (rare and value == f.default):
                entries[f.name] = value
        if self.id2label is not None or self.num_labels != 2:
            labels = self.id2label or _unnamed_labels(self.num_labels)
            entries["id2label"] = {str(i): label for i, label in labels.items()}
            entries["label2id"] = {label: i for i, label in labels.items()}
        return entries

    def to_json(self, path):
        """Write `config.json`, whole or not at all; a folder stands for the one inside it."""
        path = Path(path)
        path = path / "config.json" if path.is_dir() else path
        write_atomic(path, json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def _unnamed_labels(num_labels):
    return {i: f"LABEL_{i}" for i in range(num_labels)}


def _require(holds, name, what, found):
    if not holds:
        raise ValueError(f"{name} must be {what}, but is {found!r}")


def param_shapes(cfg, task=None):
    """Name -> shape of every parameter, in order: of the bare model, or of the model with the head of `task`.

    With a head, the model's own names begin with `convbert.`, as in Hugging Face's files.
    """
    D, E, F, V = cfg.hidden_size, cfg.embedding_size, cfg.intermediate_size, cfg.vocab_size
    A, H, K, G = cfg.heads * cfg.head_size, cfg.heads, cfg.conv_kernel_size, cfg.num_groups

    def linear(name, inputs, outputs):
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    def feed_forward(name, inputs, outputs):
        if G == 1:
            return linear(name, inputs, outputs)
        return {f"{name}.weight": (G, inputs // G, outputs // G), f"{name}.bias": (outputs,)}

    def layer_norm(name, width):
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    shapes = {
        "embeddings.word_embeddings.weight": (V, E),
        "embeddings.position_embeddings.weight": (cfg.max_position_embeddings, E),
        "embeddings.token_type_embeddings.weight": (cfg.type_vocab_size, E),
    } | layer_norm("embeddings.LayerNorm", E)
    if E != D:
        shapes |= linear("embeddings_project", E, D)
    for i in range(cfg.num_hidden_layers):
        layer = f"encoder.layer.{i}"
        attention = f"{layer}.attention.self"
        shapes |= linear(f"{attention}.query", D, A) | linear(f"{attention}.key", D, A)
        shapes |= linear(f"{attention}.value", D, A)
        shapes |= {
            f"{attention}.key_conv_attn_layer.depthwise.weight": (D, 1, K),
            f"{attention}.key_conv_attn_layer.pointwise.weight": (A, D, 1),
            f"{attention}.key_conv_attn_layer.bias": (A, 1),
        }
        shapes |= linear(f"{attention}.conv_kernel_layer", A, H * K) | linear(f"{attention}.conv_out_layer", D, A)
        shapes |= linear(f"{layer}.attention.output.dense", 2 * A, D)
        shapes |= layer_norm(f"{layer}.attention.output.LayerNorm", D)
        shapes |= feed_forward(f"{layer}.intermediate.dense", D, F)
        shapes |= feed_forward(f"{layer}.output.dense", F, D) | layer_norm(f"{layer}.output.LayerNorm", D)
    if task is None:
        return shapes

    shapes = {f"convbert.{name}": shape for name, shape in shapes.items()}
    if task == "masked_lm":
        shapes |= linear("generator_predictions.dense", D, E) | layer_norm("generator_predictions.LayerNorm", E)
        if not cfg.tie_word_embeddings:
            shapes["generator_lm_head.weight"] = (V, E)
        shapes["generator_lm_head.bias"] = (V,)
    elif task == "sequence_classification":
        shapes |= linear("classifier.dense", D, D) | linear("classifier.out_proj", D, cfg.num_labels)
    elif task == "multiple_choice":
        if cfg.summary_use_proj:
            width = cfg.num_labels if cfg.summary_proj_to_labels else D
            _require(width == D, "num_labels", f"hidden_size = {D} when summary_proj_to_labels is set, for the"
                     " classifier reads hidden_size numbers", width)
            shapes |= linear("sequence_summary.summary", D, D)
        shapes |= linear("classifier", D, 1)
    elif task == "token_classification":
        shapes |= linear("classifier", D, cfg.num_labels)
    elif task == "question_answering":
        _require(cfg.num_labels == 2, "num_labels", "2 for question answering: a start and an end", cfg.num_labels)
        shapes |= linear("qa_outputs", D, 2)
    elif task == "discriminator":
        shapes |= linear("discriminator_predictions.dense", D, D)
        shapes |= linear("discriminator_predictions.dense_prediction", D, 1)
    else:
        raise ValueError(f"task must be None or one of {', '.join(TASKS)}, but is {task!r}")
    return shapes


def multiplications(cfg, length):
    """Multiply-adds of the bare model for one token of a sequence of `length`, by part."""
    D, A, H, K, F = cfg.hidden_size, cfg.heads * cfg.head_size, cfg.heads, cfg.conv_kernel_size, cfg.intermediate_size
    layer = {
        "query, key, value": 3 * D * A,
        "attention": 2 * length * A,
        "span key": D * K + D * A,
        "kernel": A + A * H * K,
        "convolution": D * A + A * K,
        "output of both halves": 2 * A * D,
        "feed-forward": 2 * D * F // cfg.num_groups,
    }
    cost = {name: n * cfg.num_hidden_layers for name, n in layer.items()}
    if cfg.embedding_size != D:
        cost["embeddings_project"] = cfg.embedding_size * D
    return cost
