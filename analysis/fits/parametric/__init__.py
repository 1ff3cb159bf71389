"""Approach 3: the loss surface, its objective, solvers and intervals."""
