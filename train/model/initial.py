"""The model that a run starts with: drawn from its seed, or the weights of a checkpoint."""

from pathlib import Path

from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from train.config.spec import RunSpec, SpecError
from train.model.build import architecture, build_model
from train.model.built import check_counts
from train.model.optimizer import transfer_initial_weights
from train.rundir.starting_point import starting_point


def initial_model(spec: RunSpec, end_id: int | None) -> PreTrainedModel:
    """The run's model before its first step, float32 on CPU, with the parameters of its record.

    Raises:  SpecError: the module's parameters are not those of the record, or the checkpoint that
             it begins with has changed; StartError: that one is gone.
    """
    if spec.init is None:
        model = build_model(spec.model, spec.seed, end_id)
        check_counts(model, spec.model)
        transfer_initial_weights(model, spec.optim, spec.model)
        return model
    found = starting_point(spec.init.path).init
    if found.sha256 != spec.init.sha256:
        raise SpecError(
            f"the weights in {spec.init.path} have SHA-256 {found.sha256[:12]} and this run begins "
            f"with {spec.init.sha256[:12]}: they were replaced; restore them, or launch a new run"
        )
    cls, config = architecture(spec.model, end_id)
    disable_progress_bar()
    model, info = cls.from_pretrained(  # type: ignore[misc]
        Path(spec.init.path), config=config, dtype="float32", output_loading_info=True,
        trust_remote_code=False,
    )  # fmt: skip
    lacking = sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"]))
    if lacking:
        raise SpecError(f"{spec.init.path} has no weights for {lacking[0]} of a {cls.__name__}")
    check_counts(model, spec.model)
    return model
