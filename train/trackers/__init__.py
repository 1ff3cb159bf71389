"""Where metrics go beside metrics.jsonl: W&B, TensorBoard, Trackio, MLflow. May import rundir.

A tracker mirrors files that are written first, and never stops a run or holds its loop up.
"""
