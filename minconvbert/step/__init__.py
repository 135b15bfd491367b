"""Step through a function: every line that ran, with the arrays that it read and made."""
