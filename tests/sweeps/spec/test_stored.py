from sweeps.spec.config import SweepConfig
from sweeps.spec.stored import stored_config
from train.config.cli import config_as_yaml, load_config


def test_a_sweep_of_an_earlier_release_is_read_with_the_keys_that_it_had(tmp_path):
    config = load_config("sweep", ["sweep=grid", "calibrate=false"], SweepConfig)
    text = config_as_yaml(config)
    dropped = ("status: ", "what: ", "fit: ")
    lines = [line for line in text.splitlines() if not line.startswith(dropped)]
    lines += ["only: oom,failed", "sweep_fit: results/demo"]
    (tmp_path / "sweep.yaml").write_text("\n".join(lines))
    stored = stored_config(tmp_path)
    assert stored.sweep == config.sweep
    assert stored.base == config.base
    assert stored.fit is None
