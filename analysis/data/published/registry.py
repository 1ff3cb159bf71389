"""Which published tables can be had by name, from where, and what a fit of each should give.

No table of others is part of this repository: an entry says where it was published, at which
commit, and the digests by which `analysis.data.published.download` knows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from analysis.data.published.columns import (
    Convert,
    cs336,
    gemstones,
    hoffmann2022,
    obsscaling,
    renamed,
    schedules,
)
from analysis.data.table_error import TableError

GITHUB = "https://raw.githubusercontent.com"
PREFIX = "published:"

Kind = Literal["runs", "scores", "schedules"]


@dataclass(frozen=True)
class RemoteFile:
    """One file as published, kept under `name`; `sha256` None where it was never recorded.

    A file without a recorded SHA-256 is known by its table's digest alone.
    """

    name: str
    url: str
    sha256: str | None


@dataclass(frozen=True)
class PublishedTable:
    """One table by name.

    `file` is what its rows are kept as in this project's columns, `digest` that of those rows
    (`download.digest`); `columns` says what the conversion does, ours from theirs. `settings` are
    those of the analysis under which `expected`, as APPROACH.QUANTITY, should come out.
    """

    name: str
    title: str
    paper: str
    licence: str
    files: tuple[RemoteFile, ...]
    convert: Convert
    file: str
    digest: str
    columns: Mapping[str, str]
    kind: Kind = "runs"
    settings: tuple[str, ...] = ()
    expected: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def url(self) -> str:
        return self.files[0].url

    @property
    def description(self) -> str:
        """One line: what it is, by whom, from where, and what should come out of a fit."""
        text = f"{PREFIX}{self.name}: {self.title} ({self.paper}; licence: {self.licence})"
        if self.expected:
            values = ", ".join(f"{name} {value:g}" for name, value in self.expected.items())
            text += f"; under {' '.join(self.settings) or 'the defaults'}: {values}"
        return text + (f"; {self.note}" if self.note else "")


def find_table(name: str) -> PublishedTable:
    """The table of that name, with or without `published:`.

    Raises:  TableError: no such name; the message lists those that exist.
    """
    bare = name.removeprefix(PREFIX)
    if bare not in TABLES:
        raise TableError(f"{PREFIX}{bare} is unknown; expected one of {', '.join(TABLES)}")
    return TABLES[bare]


_CURVES = {
    "constant_24000": "034a75e2415373a9be1097e9d406f98524344f4718d200d3a188dcbd5115103b",
    "constant_72000": "52b5752009e1e4c396f15016e98897238fccb3816f58576ea944f03fe529dbc3",
    "cosine_24000": "dd544dc61a11fa138c98ac0b673d5512287062d2d2d2e9c2867976abc8c46e69",
    "cosine_72000": "2e637203b48b3e3a84063f49035cde2f6a40c69ecd15d95b6551774b9a279f44",
    "wsd_20000_24000": "e66df98c85dba705ebc85512c6a09a8ebec5675878a20d4d783c0bf80d031002",
    "wsdcon_18": "33cfea673dc0efde9e4fd74cc47d8daabdebfdc6d5a2659835bd780347f6e651",
    "wsdcon_3": "a1cbb8c730ae0628d69bb1d7aefadbad5cda5f6a92272f85203cd33d7b8f4912",
    "wsdcon_9": "510256497a0ea9d4270919fb37c56140e1b4d07e50b96b46334891ba316f144e",
    "wsdld_20000_24000": "0ef6b02e260ff5efa51a5885655ead8cf126a7e9c4ea3034d403e11852c06fe2",
}
_OBSSCALING = f"{GITHUB}/ryoungj/ObsScaling/4d6e1e43fd2635d04654aa77d1df9d5266ea0382/eval_results"

_ALL = (
    PublishedTable(
        name="hoffmann2022",
        title="245 runs digitised from figure 4 of Hoffmann et al. 2022",
        paper="Besiroglu et al. 2024, arXiv:2404.10102; Hoffmann et al. 2022, arXiv:2203.15556",
        licence="none stated",
        files=(
            RemoteFile(
                "svg_extracted_data.csv",
                f"{GITHUB}/epoch-research/analyzing-chinchilla/"
                "92258837425e1b5f2851d624287f0120583a3d0e/data/svg_extracted_data.csv",
                "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
            ),
        ),
        convert=hoffmann2022,
        file="hoffmann2022_figure4.csv",
        digest="843edc1f19ca277fbc02be7497f6bc5b584b8123d5a7ae9f04ae6f65462d4848",
        columns={"n_params": "Model Size", "flops": "Training FLOP", "loss": "loss"},
        settings=("fit=besiroglu",),
        expected={
            "parametric.A": 477.83,
            "parametric.B": 2143.42,
            "parametric.E": 1.81722,
            "parametric.alpha": 0.34731,
            "parametric.beta": 0.36717,
        },
    ),
    PublishedTable(
        name="gemstones",
        title="1,100 points on 22 training curves at a constant learning rate",
        paper="McLeish et al. 2025, arXiv:2502.06857",
        licence="MIT",
        files=(
            RemoteFile(
                "wandb_df_for_fitting_hot_477.jsonl",
                f"{GITHUB}/mcleish7/gemstone-scaling-laws/"
                "1fb97a26b3a4ee647475ee3b46d67413b1844405/"
                "wandb_dfs/wandb_df_for_fitting_hot_477.jsonl",
                None,
            ),
        ),
        convert=gemstones,
        file="gemstones_hot.csv",
        digest="c91efcb5dd96bb192393e1310a28e6b543d49e30f4cfa97dcff5feab7b71c4c8",
        columns={
            "run": "run_name",
            "n_params": "params_active_precise",
            "n_tokens": "tokens",
            "flops": "from width, depth and tokens",
            "loss": "final_loss",
        },
        settings=("fit=gemstones",),
        expected={"envelope.a": 0.49938, "envelope.b": 0.480989},
    ),
    PublishedTable(
        name="marin",
        title="258 IsoFLOP runs on three corpora (comma, dclm, nemotron: fit.data=)",
        paper="Marin, March 2026, by way of Open-Athena/scaling-law-analysis",
        licence="none stated",
        files=(
            RemoteFile(
                "marin_202603_isoflops.csv",
                f"{GITHUB}/Open-Athena/scaling-law-analysis/3e0656e/"
                "data/isoflops/extract/marin_202603/isoflops.csv",
                "f2c307ac8152f0df9b2be720bfc5958fdc54688de152e3294cec12da34cfa7f2",
            ),
        ),
        convert=renamed(
            n_params="params", n_tokens="tokens", flops_budget="budget", data="dataset"
        ),
        file="marin_runs.csv",
        digest="b541f00ff32ac67fca91f4bad6d98447f1d367b469d8a84ebb10bc599333c41d",
        columns={
            "n_params": "params",
            "n_tokens": "tokens",
            "flops_budget": "budget",
            "data": "dataset",
            "loss": "loss",
        },
        settings=("fit.data=nemotron", "fit.isoflop_curve=skewed"),
        expected={"parametric.a": 0.385, "isoflop.a": 0.396},
    ),
    PublishedTable(
        name="cs336",
        title="72 runs without noise at nine budgets, an exercise of Stanford's CS336",
        paper="stanford-cs336/assignment3-scaling",
        licence="MIT",
        files=(
            RemoteFile(
                "cs336_isoflops_curves.json",
                f"{GITHUB}/stanford-cs336/assignment3-scaling/"
                "24a558ee8f1078d0d44e0e3b1e8c17697e72a153/data/isoflops_curves.json",
                "da6a464c3f5e5039d3f20e137dfcab3031a3d8e7ef0ac2f376f96e295d4afd27",
            ),
        ),
        convert=cs336,
        file="cs336_runs.csv",
        digest="b5901094fbae8c17568054645dec3462b8c0618856953276b6e40964f2d43c15",
        columns={
            "n_params": "parameters",
            "flops": "compute_budget",
            "flops_budget": "compute_budget",
            "loss": "final_loss",
        },
        settings=("fit.cost=6nd",),
        expected={
            "parametric.E": 2.69,
            "parametric.A": 1606.4,
            "parametric.B": 3210.7,
            "parametric.alpha": 0.34,
            "parametric.beta": 0.36,
        },
    ),
    PublishedTable(
        name="steplaw",
        title="1,911 runs: 17 cells of N and D, each at about 112 learning rates and batches",
        paper="Li et al. 2025, Step Law, arXiv:2503.04715",
        licence="none stated",
        files=(
            RemoteFile(
                "steplaw_dense_lr_bs_loss.csv",
                f"{GITHUB}/step-law/steplaw/32a8f4c/data/dense_lr_bs_loss.csv",
                "9e46181076c04d450294d75dfe6f72adc416e231e154a07b337e378f9410002c",
            ),
        ),
        convert=renamed(n_params="N", n_tokens="D"),
        file="steplaw_runs.csv",
        digest="60f67b4e0153bb963607ebd069aaf980f75d7eef6bd719d8ca362f799b1e4bec",
        columns={"n_params": "N", "n_tokens": "D", "loss": "loss"},
        note="rows of one cell differ in lr and bs alone; the best run of each cell is the "
        "frontier that was fitted, with learning rate 1.79 N^-.713 D^.307 and batch .58 D^.571",
    ),
    PublishedTable(
        name="obsscaling",
        title="scores of 84 public models on seven tasks that were called emergent",
        paper="Ruan et al. 2024, Observational scaling laws, arXiv:2405.10938",
        licence="Apache-2.0",
        files=(
            RemoteFile(
                "obsscaling_emergent_capability.csv",
                f"{_OBSSCALING}/base_llm_emergent_capability_eval.csv",
                "a156beee73c39b7833c3c53535c473939105512d85e90b0143be7325e516ef7c",
            ),
            RemoteFile(
                "obsscaling_benchmarks.csv",
                f"{_OBSSCALING}/base_llm_benchmark_eval.csv",
                "511996815735a4c46251dc585dcc525e370d148201f86561e6f927f9df2d0db8",
            ),
        ),
        convert=obsscaling,
        file="obsscaling_scores_by_family.csv",
        digest="bdba8c17af9b407d402e0a3bf59b8fc55d4b5319a689d578c0dd6d505f77837b",
        columns={
            "model": "Model",
            "family": "Model Family",
            "n_params": "Model Size (B)",
            "n_tokens": "Pretraining Data Size (T)",
            "flops": "FLOPs (1E21)",
            "task, metric": "TASK_2_METRIC",
        },
        kind="scores",
    ),
    PublishedTable(
        name="multipowerlaw",
        title="nine loss curves of a 100M model under constant, cosine and WSD schedules",
        paper="Luo et al. 2025, Multi-power law, arXiv:2503.12811",
        licence="MIT",
        files=tuple(
            RemoteFile(
                f"multipowerlaw_csv_100/{name}.csv",
                f"{GITHUB}/thu-yao-01-luo/MultiPowerLaw/8da9f19/loss_curve_repo/csv_100/{name}.csv",
                sha256,
            )
            for name, sha256 in _CURVES.items()
        ),
        convert=schedules(*_CURVES),
        file="multipowerlaw_curves.csv",
        digest="c1e980d13cf1ec4eb58e5288a348ab96ce38886dde38b9297a5d0e6d5bc919c9",
        columns={"curve": "the file's name", "step": "step", "lr": "lr", "loss": "loss"},
        kind="schedules",
        note="a law of whole curves fitted to constant_24000, cosine_24000 and wsdcon_9 predicts "
        "the other six with R2 > .99 and a mean absolute error of about .004",
    ),
)

TABLES: dict[str, PublishedTable] = {table.name: table for table in _ALL}
