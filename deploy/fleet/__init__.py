"""status, history, unlock: questions to all hosts of the inventory at once; `__main__` is how they are called."""
