"""How to train: the recipes that a run's options change and its state file records."""

from dataclasses import dataclass

from ..threads import checked_threads

OBJECTIVES = ("replaced-token-detection", "masked-lm")


def _lower_threads(recipe):
    """Write into a frozen recipe how many threads its batches can use."""
    object.__setattr__(recipe, "threads", checked_threads(recipe.threads, recipe.batch_size))


@dataclass(frozen=True)
class PretrainingRecipe:
    """How to pretrain. The presets small, medium-small and base are the original's (configure_pretraining.py)."""

    model: dict
    learning_rate: float
    batch_size: int
    steps: int = 1_000_000
    warmup: int = 10_000
    generator_width: float = 0.25
    generator_layers: float = 1.0
    objective: str = OBJECTIVES[0]
    decay: float = 0.01
    clip: float = 1.0
    dropout: bool = True
    seed: int = 0
    length: int = 128                                  # tokens of an example
    decay_share: float = 1.0                           # share of the steps, at the end, in which the rate falls to 0
    generator_rate: float | None = None                # learning rate of the parameters that only the generator has
    threads: int = 1                                   # parts of a batch that are computed at once

    def __post_init__(self):
        if not 0 < self.decay_share <= 1:
            raise ValueError(f"--decay-share must be above 0 and at most 1, but is {self.decay_share}")
        if self.generator_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"--generator-rate needs a --learning-rate above 0, but that is {self.learning_rate}")
        _lower_threads(self)


_ORIGINAL = dict(vocab_size=30522, max_position_embeddings=512, num_hidden_layers=12, pad_token_id=0)
PRESETS = {
    "tiny": PretrainingRecipe(
        dict(vocab_size=8192, hidden_size=128, embedding_size=128, num_hidden_layers=4, num_attention_heads=4,
             intermediate_size=512, max_position_embeddings=128, pad_token_id=0),
        learning_rate=1.5e-3, batch_size=64, steps=7_800, warmup=400, generator_width=0.5, generator_layers=0.5,
        dropout=False),
    "small": PretrainingRecipe(
        _ORIGINAL | dict(hidden_size=256, embedding_size=128, num_attention_heads=4, intermediate_size=1024),
        learning_rate=3e-4, batch_size=128),
    "medium-small": PretrainingRecipe(
        _ORIGINAL | dict(hidden_size=384, embedding_size=128, num_attention_heads=8, intermediate_size=1536,
                         num_groups=2),
        learning_rate=5e-4, batch_size=128),
    "base": PretrainingRecipe(_ORIGINAL, learning_rate=2e-4, batch_size=256, generator_width=1 / 3),
}


@dataclass(frozen=True)
class FinetuningRecipe:
    """How to fine-tune. The defaults are the original's for its small models (configure_finetuning.py).

    warmup: share of the steps; layer_decay: the rate of each layer divided by that of the layer above; accumulate:
    parts of a batch that are computed one after the other, to save memory; threads: parts that are computed at once.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 3e-4
    warmup: float = 0.1
    decay: float = 0.01
    layer_decay: float = 0.8
    layer_decay_off_by_one: bool = True
    clip: float = 1.0
    accumulate: int = 1
    threads: int = 1
    seed: int = 0

    def __post_init__(self):
        _lower_threads(self)


def default_recipe(task, cfg):
    """The original's learning rate for its sizes; for narrower models, one that did well on development sets."""
    width = cfg.hidden_size
    rate = 1e-4 if width >= 768 else 3e-4 if width >= 256 else 1e-3
    return FinetuningRecipe(learning_rate=rate)
