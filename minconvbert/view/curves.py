"""Figures of measurements during training."""

import numpy as np

from .figures import drawing
from .palette import LIGHT


def by_setting(results):
    """Draw the results of each setting: dots for its seeds, mean, standard deviation  ->  a matplotlib figure"""
    names = list(dict.fromkeys(r["setting"] for r in results))
    figure = drawing(8, 0.8 + 0.28 * len(names))
    for axis, (key, title) in zip(figure.subplots(1, 2, sharey=True), (
            ("masked_loss", "generator: held-out loss, nats"), ("auc", "discriminator: held-out AUC"))):
        for at, name in enumerate(names):
            values = [r[key] for r in results if r["setting"] == name]
            axis.plot(values, [at] * len(values), "o", markersize=3, color=LIGHT["faint"])
            axis.errorbar(np.mean(values), at, xerr=np.std(values, ddof=min(1, len(values) - 1)), fmt="o", markersize=5,
                          capsize=3, color=LIGHT["attention" if name in ("attention", "bottleneck") else "convolution"])
        axis.set(title=title, yticks=range(len(names)), yticklabels=names)
        axis.grid(axis="x", color=LIGHT["rule"])
        axis.set_axisbelow(True)
    axis.invert_yaxis()
    return figure
