"""From a loss to an ability: accuracy as a function of the loss of a task's answers. May import
fits and below.
"""
