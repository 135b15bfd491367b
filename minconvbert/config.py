"""The configuration of a model, checked when it is made, and the names and shapes of the parameters that it implies."""

import difflib
import json
import math
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path

from .files import model_path, read_json, write_atomic
from .output import folded

ACTIVATION_NAMES = (
    "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_10", "quick_gelu",
    "relu", "relu2", "relu6", "leaky_relu", "silu", "swish", "tanh", "sigmoid", "mish", "linear")
SUMMARY_TYPES = ("last", "first", "mean", "cls_index")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
TASKS = ("masked_lm", "sequence_classification", "multiple_choice", "token_classification", "question_answering",
         "discriminator")


# Above these limits, the lists of parameters and of labels alone would take minutes and gigabytes.
MOST_LAYERS, MOST_LABELS = 10_000, 1_000_000

# Each rule: names of fields; what must hold for a value, given the configuration; and the words of the message.
RULES = (
    ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings"
     " type_vocab_size embedding_size head_ratio conv_kernel_size num_groups num_labels",
     lambda x, cfg: x >= 1, "at least 1"),
    ("num_hidden_layers", lambda x, cfg: x <= MOST_LAYERS, f"at most {MOST_LAYERS:,}"),
    ("num_labels", lambda x, cfg: x <= MOST_LABELS, f"at most {MOST_LABELS:,}"),
    ("hidden_dropout_prob attention_probs_dropout_prob classifier_dropout summary_first_dropout summary_last_dropout",
     lambda x, cfg: x is None or 0 <= x < 1, "a probability in [0, 1)"),
    ("layer_norm_eps", lambda x, cfg: 0 < x < 1, "between 0 and 1"),
    ("initializer_range", lambda x, cfg: 0 <= x < math.inf, "finite and not negative"),
    ("pad_token_id", lambda x, cfg: x is None or 0 <= x < cfg.vocab_size,
     "None or an id below vocab_size = {cfg.vocab_size}"),
    ("hidden_act", lambda x, cfg: x in ACTIVATION_NAMES, f"one of {', '.join(ACTIVATION_NAMES)}"),
    ("summary_activation", lambda x, cfg: x in (None, *ACTIVATION_NAMES),
     f"None or one of {', '.join(ACTIVATION_NAMES)}"),
    ("summary_type", lambda x, cfg: x in SUMMARY_TYPES, f"one of {', '.join(SUMMARY_TYPES)}"),
    ("problem_type", lambda x, cfg: x in (None, *PROBLEM_TYPES), f"None or one of {', '.join(PROBLEM_TYPES)}"),
    ("head_ratio_semantics", lambda x, cfg: x in ("huggingface", "original"), "'huggingface' or 'original'"),
    ("mask_value", lambda x, cfg: x is None or -math.inf < x < 0, "None or a finite negative number"),
    ("conv_kernel_size", lambda x, cfg: x % 2 == 1, "odd, because a kernel needs a middle"),
    ("hidden_size", lambda x, cfg: x % cfg.num_attention_heads == 0,
     "a multiple of num_attention_heads = {cfg.num_attention_heads}"),
    ("hidden_size", lambda x, cfg: cfg.head_ratio_semantics == "original" or x % (2 * cfg.heads) == 0,
     "a multiple of 2 x {cfg.heads}, because {cfg.heads} attention heads and as many convolution heads fill it"),
    ("hidden_size intermediate_size", lambda x, cfg: x % cfg.num_groups == 0,
     "a multiple of num_groups = {cfg.num_groups}"),
    ("id2label", lambda x, cfg: x is None or len(x) == cfg.num_labels and x.keys() == set(range(cfg.num_labels)),
     "a label for each number below num_labels = {cfg.num_labels}"),
    ("id2label", lambda x, cfg: all(isinstance(label, (str, int)) for label in (x or {}).values()),
     "a dict of numbers to strings"),
)


def _takes_whole_files(cls):
    """Let `cls(**entries)` take entries of a `config.json` that are not fields, and keep them in `unknown`."""
    init, names = cls.__init__, {f.name for f in fields(cls)}

    @wraps(init)
    def init_with_unknown(self, *values, **entries):
        for name in entries.keys() - names:
            near = difflib.get_close_matches(name, names, 1, 0.8)
            if near or "unknown" in entries:
                raise TypeError(f"a configuration has no field {name!r}" + (f"; did you mean {near[0]!r}?" if near
                                                                            else ""))
        init(self, *values, **(_fields_of(entries) if entries.keys() - names else entries))

    cls.__init__ = init_with_unknown
    return cls


@_takes_whole_files
@dataclass(frozen=True, repr=False)
class ConvBertConfig:
    """The sizes and choices that define a ConvBERT; fields, defaults and `config.json` are those of Hugging Face.

    Three fields are ours: `head_ratio_semantics`, `mask_value` and `mask_convolution`. `ConvBertConfig(**entries)`
    takes the entries of a `config.json` as they are, and keeps those that mean nothing here in `unknown`.

    Raises ValueError or TypeError for a model that cannot work, and for a name that is nearly a field's name.
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
        """The same configuration except for `changes`, checked again."""
        if "num_labels" in changes and "id2label" not in changes:
            changes["id2label"] = None
        return replace(self, **changes)

    def __post_init__(self):
        for f in fields(self):
            self._check_kind(f.name, f.type)
            if isinstance(value := getattr(self, f.name), float):
                object.__setattr__(self, f.name, float(value))     # a np.float64 would widen arrays of float32
        for names, holds, what in RULES:
            for name in names.split():
                if not holds(value := getattr(self, name), self):
                    raise ValueError(f"{name} must be {what.format(cfg=self)}, but is {_shown(value)}")

    def _check_kind(self, name, kind):
        value = getattr(self, name)
        kinds = {int: (int,), float: (int, float), bool: (bool,), str: (str,), dict: (dict,)}
        wanted = [k for k in (int, float, bool, str, dict) if k is kind or k in getattr(kind, "__args__", ())]
        if value is None and type(None) in getattr(kind, "__args__", ()):
            return
        fits = any(isinstance(value, kinds[k]) and (k is bool or not isinstance(value, bool)) for k in wanted)
        if not fits:
            names = " or ".join(k.__name__ for k in wanted)
            raise TypeError(f"{name} must be {names}, but is {_shown(value)} ({type(value).__name__})")
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{name} must be a number, but is nan")
        if type(value) is int and abs(value) >= 1 << 63:
            raise ValueError(f"{name} must be a number of at most 63 bits, but is {_shown(value)}")

    @classmethod
    def from_dict(cls, entries):
        """Read the entries of a `config.json`; `unknown` keeps those that mean nothing here.

        Raises ValueError if `model_type` is that of another model, or a value cannot work.
        """
        if not isinstance(entries, dict):
            raise TypeError(f"entries must be a dict, but are {type(entries).__name__}")
        return cls(**_fields_of(entries))

    @classmethod
    def from_pretrained(cls, folder, **changes):
        """Read `config.json` of a folder, or of "convbert-tiny", and change the fields in `changes`."""
        cfg = cls.from_json(folder)
        return cfg.replace(**changes) if changes else cfg

    @classmethod
    def from_json(cls, path):
        """Read `config.json`, from its path, its folder or the name of the weights that ship."""
        path = model_path(path)
        if not path.exists():
            raise FileNotFoundError(f"a configuration must be a config.json or a folder that has one, but there is no"
                                    f" {path}")
        path = path / "config.json" if path.is_dir() else path
        entries = read_json(path)
        if not isinstance(entries, dict):
            raise ValueError(f"{path} must hold one JSON object, but it holds {type(entries).__name__}")
        return cls.from_dict(entries)

    def __repr__(self):
        changed = {f.name: getattr(self, f.name) for f in fields(self)
                   if f.name != "unknown" and getattr(self, f.name) != f.default} | self.unknown
        return f"ConvBertConfig({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def _repr_html_(self):
        return folded(repr(self), self.to_dict().items())

    def to_dict(self):
        """The entries of `config.json`. Our fields and those of single heads are left out at their defaults."""
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
        """Write `config.json`, to its path or into a folder, whole or not at all."""
        path = Path(path)
        path = path / "config.json" if path.is_dir() else path
        write_atomic(path, json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def _fields_of(entries):
    """The entries of a `config.json` as fields of the configuration; those that are not fields go into `unknown`."""
    entries = dict(entries)
    model_type = entries.pop("model_type", "convbert")
    _require(model_type in ("convbert", "conv_bert"), "model_type", "'convbert'", model_type)
    entries.pop("label2id", None)
    if entries.get("id2label") is not None:
        labels = entries["id2label"]
        if not isinstance(labels, dict) or not all(str(i).isdecimal() and len(str(i)) < 19 for i in labels):
            raise ValueError(f"id2label must map the numbers of labels to their names, but is {_shown(labels)}")
        labels = {int(i): label for i, label in labels.items()}
        _require(entries.setdefault("num_labels", len(labels)) == len(labels), "num_labels",
                 f"{len(labels)}, because id2label has that many labels", entries["num_labels"])
        entries["id2label"] = None if labels == _unnamed_labels(len(labels)) else labels
    known = {f.name for f in fields(ConvBertConfig)} - {"unknown"}
    return {name: value for name, value in entries.items() if name in known} | {
        "unknown": {name: value for name, value in entries.items() if name not in known}}


def _unnamed_labels(num_labels):
    return {i: f"LABEL_{i}" for i in range(num_labels)}


def _require(holds, name, what, found):
    if not holds:
        raise ValueError(f"{name} must be {what}, but is {_shown(found)}")


def _shown(value):
    """A value for a message, cut off if it is long."""
    if type(value) is int and abs(value) >= 1 << 63:
        return f"a number of {value.bit_length()} bits"
    return f"{value!r:.200}"


def param_shapes(cfg, task=None):
    """Name -> shape of every parameter, in order: of the bare model, or of the model with the head of `task`.

    With a head, the model's own names begin with `convbert.`, as in Hugging Face's files.

    Raises ValueError if there is no such task, or the configuration does not fit it.
    """
    body = body_shapes(cfg)
    if task is None:
        return body
    return {f"convbert.{name}": shape for name, shape in body.items()} | head_shapes(cfg, task)


def body_shapes(cfg):
    """Name -> shape of the parameters of the bare model."""
    D, E = cfg.hidden_size, cfg.embedding_size
    shapes = {
        "embeddings.word_embeddings.weight": (cfg.vocab_size, E),
        "embeddings.position_embeddings.weight": (cfg.max_position_embeddings, E),
        "embeddings.token_type_embeddings.weight": (cfg.type_vocab_size, E),
    } | _norm("embeddings.LayerNorm", E)
    if E != D:
        shapes |= _linear("embeddings_project", E, D)
    layer = layer_shapes(cfg)
    for i in range(cfg.num_hidden_layers):
        shapes |= {f"encoder.layer.{i}.{name}": shape for name, shape in layer.items()}
    return shapes


def layer_shapes(cfg):
    """Name -> shape of the parameters of one layer."""
    D, F, A, K = cfg.hidden_size, cfg.intermediate_size, cfg.heads * cfg.head_size, cfg.conv_kernel_size
    own, conv = "attention.self", "attention.self.key_conv_attn_layer"
    return (
        _linear(f"{own}.query", D, A) | _linear(f"{own}.key", D, A) | _linear(f"{own}.value", D, A)
        | {f"{conv}.depthwise.weight": (D, 1, K), f"{conv}.pointwise.weight": (A, D, 1), f"{conv}.bias": (A, 1)}
        | _linear(f"{own}.conv_kernel_layer", A, cfg.heads * K) | _linear(f"{own}.conv_out_layer", D, A)
        | _linear("attention.output.dense", 2 * A, D) | _norm("attention.output.LayerNorm", D)
        | _linear("intermediate.dense", D, F, cfg.num_groups)
        | _linear("output.dense", F, D, cfg.num_groups) | _norm("output.LayerNorm", D))


def head_shapes(cfg, task):
    """Name -> shape of the parameters of the head of `task`."""
    D, E, N = cfg.hidden_size, cfg.embedding_size, cfg.num_labels
    if task == "masked_lm":
        untied = {} if cfg.tie_word_embeddings else {"generator_lm_head.weight": (cfg.vocab_size, E)}
        return (_linear("generator_predictions.dense", D, E) | _norm("generator_predictions.LayerNorm", E)
                | untied | {"generator_lm_head.bias": (cfg.vocab_size,)})
    if task == "sequence_classification":
        return _linear("classifier.dense", D, D) | _linear("classifier.out_proj", D, N)
    if task == "multiple_choice":
        _require(not (cfg.summary_use_proj and cfg.summary_proj_to_labels) or N == D, "num_labels", f"hidden_size = {D}"
                 " when summary_proj_to_labels is set, because the classifier reads hidden_size numbers", N)
        return (_linear("sequence_summary.summary", D, D) if cfg.summary_use_proj else {}) | _linear("classifier", D, 1)
    if task == "token_classification":
        return _linear("classifier", D, N)
    if task == "question_answering":
        _require(N == 2, "num_labels", "2 for question answering: a start and an end", N)
        return _linear("qa_outputs", D, 2)
    if task == "discriminator":
        return (_linear("discriminator_predictions.dense", D, D)
                | _linear("discriminator_predictions.dense_prediction", D, 1))
    raise ValueError(f"task must be None or one of {', '.join(TASKS)}, but is {task!r}")


def _linear(name, inputs, outputs, groups=1):
    weight = (outputs, inputs) if groups == 1 else (groups, inputs // groups, outputs // groups)
    return {f"{name}.weight": weight, f"{name}.bias": (outputs,)}


def _norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


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
