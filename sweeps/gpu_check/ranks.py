"""Checks of the ways to spread a run over devices, on a group of one."""

import json

from sweeps.gpu_check.card import Card, answer_of
from sweeps.gpu_check.results import Check, Found
from sweeps.launch.distributed import free_port, sharded_environment
from train.rundir.record import RunPaths, read_record

RANK_SECONDS = 120.0
WAYS = {"ddp": "DistributedDataParallel", "fsdp2": "FSDP"}


def checks(card: Card) -> list[Check]:
    """Over NCCL; on a stand-in over gloo and the CPU, each way in one precision."""
    return [
        Check(
            "ranks",
            "DDP and FSDP2 through Accelerate, NCCL and a group of one: the loss of a plain run to "
            "1e-5 (fp32) and 5e-3 (bf16)",
            lambda: ranks(card),
            70,
            60,
        )
    ]


def ranks(card: Card) -> Found:
    got = {}
    device = {} if card.real else {"device": "cpu"}
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 5e-3)):
        job = card.job(n_steps=10 if card.real else 4, precision=precision)
        plain = card.trained(f"rank-{precision}-plain", job, **device).loss
        assert plain is not None
        for way, wrapper in WAYS.items():
            if not card.real and (precision == "fp32") != (way == "ddp"):
                continue
            run_dir = card.run_dir(f"rank-{precision}-{way}", job, **device)
            environment = {
                **{"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())},
                **(sharded_environment() if way == "fsdp2" else {}),
            }
            answer = json.loads(
                answer_of(card.child("rank", str(run_dir), **environment), RANK_SECONDS)
            )
            record = read_record(run_dir)
            error = RunPaths(run_dir).error
            loss = None if record is None else record.loss
            got[f"{precision}-{way}"] = {
                "loss": loss,
                "plain": plain,
                "wrapped_in": answer["wrapped_in"],
                "error": error.read_text().splitlines()[0] if error.exists() else "",
                "held": loss is not None
                and abs(loss / plain - 1) <= tolerance
                and answer["wrapped_in"] == wrapper,
            }
    return all(each["held"] for each in got.values()), got
