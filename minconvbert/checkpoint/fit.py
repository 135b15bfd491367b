"""Match arrays to the parameters of a configuration: names, shapes, kinds, and the head that a task needs."""

import math

import numpy as np

from ..config import param_shapes
from ..initialize import init_head
from .names import plain
from .tensorfile import CheckpointError, NoHeadError, listed

# Hugging Face's class for the checkpoint of each task; it has none for the discriminator, only for its body.
ARCHITECTURES = {
    None: "ConvBertModel", "discriminator": "ConvBertModel", "masked_lm": "ConvBertForMaskedLM",
    "sequence_classification": "ConvBertForSequenceClassification", "multiple_choice": "ConvBertForMultipleChoice",
    "token_classification": "ConvBertForTokenClassification", "question_answering": "ConvBertForQuestionAnswering"}
HEAD_MODULES = ("generator_predictions", "generator_lm_head", "discriminator_predictions", "classifier",
                "qa_outputs", "sequence_summary")
TABLE, OUTPUT_TABLE = "embeddings.word_embeddings.weight", "generator_lm_head.weight"
# Older versions stored these arrays, which are not parameters: the numbers 0, 1, 2, ... and zeros.
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")


def check_params(params, cfg, task=None):
    """The same parameters in the order of `param_shapes`, if they are all there and fit.

    Raises ValueError, naming the parameters that are missing, unknown or of the wrong shape, and TypeError if they are
    not all floats of one width.
    """
    check_kinds(params)
    shapes = param_shapes(cfg, task)
    _check_names_and_shapes(params, shapes, cfg, task, "params")
    return {name: params[name] for name in shapes}


def check_kinds(params):
    """Raises TypeError unless params is a dict of arrays that are all floats of one width."""
    if not isinstance(params, dict) or not all(
            isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) for array in params.values()):
        raise TypeError("params must be a dict of names to NumPy arrays, but is a"
                        f" {type(params).__name__} of other things")
    kinds = {str(array.dtype) for array in params.values()}
    if len(kinds) > 1 or any(array.dtype.kind != "f" for array in params.values()):
        raise TypeError(f"params must all be floats of one width, but they are {listed(sorted(kinds))}")


def finite(array):
    """Whether there is no nan and no infinity. It makes no temporary array, which would take a quarter more memory."""
    return array.size == 0 or (math.isfinite(array.min()) and math.isfinite(array.max()))


def fit(tensors, cfg, task, file, new_head=None):
    """Match the tensors of a file to the parameters of a model  ->  params, names of the tensors that were not used

    The prefix `convbert.` is added or removed as needed, and older names are understood.
    """
    shapes = param_shapes(cfg, task)
    if tensors and all(name.startswith("module.") for name in tensors):
        raise CheckpointError(f"{file} must hold a model, but holds one that DataParallel wrapped, because all"
                              " names begin with 'module.': save model.module.state_dict(), or remove the prefix")
    found = _by_plain_name(tensors, file)
    if cfg.tie_word_embeddings:
        _drop_second_table(found, file)
    wanted = {name: shape for name, shape in shapes.items() if new_head is None or not _of_head(name)}
    params = {name: found.pop(plain(name))[1] for name in wanted if plain(name) in found}
    skipped = [name for name, _ in found.values() if _of_head(name) or plain(name) in BUFFERS]
    extra = {name: array for name, array in found.values() if name not in skipped}
    lacking = [name for name in wanted if name not in params and _of_head(name)]
    if lacking and not extra:
        raise NoHeadError(
            f"{file} must hold the head for {task}, but {listed(lacking)} are missing; fine-tune the model for it, or"
            " pass new_head=, a dict of its arrays or a numpy.random.Generator to draw it from")
    _check_names_and_shapes(params | extra, wanted, cfg, task, file)
    if new_head is not None:                           # drawn only now, because the file is now known to fit
        params |= _fresh_head(new_head, cfg, task)
        _check_names_and_shapes(params, shapes, cfg, task, "new_head")
    for name, array in params.items():
        if array.dtype.kind != "f":
            raise CheckpointError(f"{name} in {file} must be floats, but is {array.dtype}")
    return {name: params[name] for name in shapes}, skipped


def _by_plain_name(tensors, file):
    """{plain name: (name in the file, array)}"""
    found = {}
    for name, array in tensors.items():
        ours = plain(name)
        if ours in found:
            raise CheckpointError(f"{file} must hold a tensor once, but {found[ours][0]} and {name} are the same")
        found[ours] = name, array
    return found


def _drop_second_table(found, file):
    """Leave out the table of the output layer, which must equal that of the embeddings."""
    if OUTPUT_TABLE in found and TABLE in found:
        if not np.array_equal(found[OUTPUT_TABLE][1], found[TABLE][1], equal_nan=True):
            raise CheckpointError(
                f"{OUTPUT_TABLE} in {file} must equal {TABLE}, because tie_word_embeddings is set, but it differs; set"
                " tie_word_embeddings to false in the configuration")
        del found[OUTPUT_TABLE]


def _of_head(name):
    return plain(name).partition(".")[0] in HEAD_MODULES


def _fresh_head(new_head, cfg, task):
    """{name: array} of a fresh head, which is passed or drawn."""
    if isinstance(new_head, np.random.Generator):
        return init_head(cfg, task, new_head)
    if isinstance(new_head, dict):
        return {name: np.asarray(array) for name, array in new_head.items()}
    if callable(new_head):
        return new_head()
    raise TypeError("new_head must be a dict of arrays, a function that makes one, or a numpy.random.Generator, but is"
                    f" {type(new_head).__name__}")


def _check_names_and_shapes(params, shapes, cfg, task, where):
    missing = [name for name in shapes if name not in params]
    extra = [name for name in params if name not in shapes]
    wrong = [f"{name} must be {shapes[name]} but is {params[name].shape}"
             for name in shapes if name in params and params[name].shape != shapes[name]]
    if missing or extra or wrong:
        found = [f"{listed(names)} {what}" for names, what in ((missing, "missing"), (extra, "unknown")) if names]
        found += [listed(wrong)] if wrong else []
        raise CheckpointError(f"the tensors of {where} must be those of the configuration, but {'; '.join(found)}"
                              f"{_remedy(params, shapes, cfg, task)}")


def _remedy(params, names, cfg, task):
    """The remedy to suggest if the shapes are those of the original's reading of `head_ratio`."""
    try:
        shapes = param_shapes(cfg.replace(head_ratio_semantics="original"), task)
    except ValueError:
        return ""
    fits = params.keys() == names.keys() and all(params[name].shape == shapes[name] for name in names)
    return '; they fit head_ratio_semantics="original" in the configuration' if fits else ""


def cast(array, dtype, name, allow_nonfinite, copy=False):
    """The array as `dtype` (None: its own) and contiguous. Without `copy`, the same array if it already is both."""
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a float type or None, but is {np.dtype(dtype)}")
    with np.errstate(over="ignore"):
        array = np.array(array, dtype, order="C") if copy else np.ascontiguousarray(array, dtype)
    if not allow_nonfinite and not finite(array):
        raise CheckpointError(f"{name} must be finite as {array.dtype}, but holds nan or infinity; pass"
                              " allow_nonfinite=True to keep it anyway")
    return array
