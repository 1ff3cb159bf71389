"""litgpt's own pretraining loop on a model of the asked shape: python litgpt_loop.py REQUEST.

Runs in litgpt's environment, without this project's packages; benchmarks.train_step starts it.
"""

import json
import sys
from pathlib import Path

import lightning as L
import torch
from litgpt import GPT, Config
from litgpt.args import EvalArgs, TrainArgs
from litgpt.pretrain import fit
from litgpt.utils import instantiate_torch_optimizer
from metronome import beat_every
from torch.utils.data import DataLoader


def main(request: dict) -> None:
    torch.set_num_threads(1)
    beat_every(request["every"])
    length = request["seq_len"]
    config = Config(
        block_size=length,
        n_layer=request["layers"],
        n_embd=request["d_model"],
        n_head=request["heads"],
        vocab_size=request["vocab"],
        padded_vocab_size=request["vocab"],
        intermediate_size=request["d_ff"],
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
    )
    fabric = L.Fabric(accelerator="cpu", devices=1, precision="32-true")
    model = fabric.setup(GPT(config))
    optimizer = instantiate_torch_optimizer(
        {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3, "betas": (0.9, 0.99)}},
        model.parameters(),
    )
    optimizer = fabric.setup_optimizers(optimizer)
    loader = fabric.setup_dataloaders(
        DataLoader(torch.randint(0, 257, (4096, length + 1)), batch_size=request["rows"])
    )
    state = {
        "model": model, "optimizer": optimizer, "train_dataloader": loader,
        "iter_num": 0, "step_count": 0,
    }  # fmt: skip
    train = TrainArgs(
        save_interval=None, log_interval=10, global_batch_size=request["rows"],
        micro_batch_size=request["rows"], max_tokens=10**12, max_norm=1.0, lr_warmup_steps=10,
    )  # fmt: skip
    evaluate = EvalArgs(interval=10**9, max_iters=1, final_validation=False)
    fit(fabric, 1, state, loader, loader, Path(request["scratch"]), None, train, evaluate)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
