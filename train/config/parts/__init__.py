"""Parts of a run's spec that have a module each; `train.config.spec` puts them together."""
