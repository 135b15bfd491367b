"""Training: pretrain from plain text, fine-tune on one of five tasks, and study variants of the block.

`recipes` says how, `corpus` and `tasks` read the data, `runs` keeps a run's state, `metrics` judges.
"""
