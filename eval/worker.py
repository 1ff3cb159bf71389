"""A process that evaluates one checkpoint after another: pickled requests in, answers out.

It belongs to `eval.side_by_side`, and ends with it: its input then ends.
"""

import os
import pickle
import sys
from typing import IO

from eval.answered import Sets, answered
from eval.config import EvalConfig
from eval.evaluate import CheckpointRef
from train.config.spec import IsoflopError

Request = tuple[EvalConfig, CheckpointRef, Sets]


def answer(request: Request) -> str:
    """Why a checkpoint could not be evaluated; empty where it was."""
    config, target, sets = request
    try:
        answered(target, sets, config.settings, config.device, config.overwrite, lambda n: None)
    except IsoflopError as error:
        return str(error)
    return ""


def send(stream: IO[bytes], content: object) -> None:
    """Write one request or answer and let it go."""
    pickle.dump(content, stream)
    stream.flush()


def main() -> None:
    """Answer requests until there are no more."""
    import torch

    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be read as an answer
    while True:
        try:
            request: Request = pickle.load(requests)
        except EOFError:
            return
        torch.set_num_threads(request[0].threads)
        send(answers, answer(request))


if __name__ == "__main__":
    main()
