"""Local YAML tasks for lm-evaluation-harness, one of each kind of request, over digits."""

import json
from pathlib import Path

KINDS = ("generate", "score", "choices", "rolling", "shots")

_COMMON = """dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
fewshot_split: test
target_delimiter: ""
"""
_OWN = {
    "generate": """output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{target}}"
generation_kwargs:
  until: ["\\n", "+4"]
  do_sample: false
  max_gen_toks: 12
metric_list:
  - metric: exact_match
""",
    "score": """output_type: loglikelihood
doc_to_text: "{{prompt}}"
doc_to_target: "{{target}}"
metric_list:
  - metric: perplexity
  - metric: acc
""",
    "choices": """output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
  - metric: acc_norm
""",
    "rolling": """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{long}}"
metric_list:
  - metric: byte_perplexity
  - metric: bits_per_byte
""",
    "shots": """output_type: multiple_choice
num_fewshot: 2
fewshot_delimiter: "+"
doc_to_text: "{{prompt}}"
doc_to_choice: "{{pair}}"
doc_to_target: "{{second}}"
metric_list:
  - metric: acc
  - metric: brier_score
""",
}


def write_tasks(directory: Path, n_items: int = 12) -> Path:
    """The tasks as YAML files over one JSONL file, with a group `digits_all` of two of them."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n_items):
        # The harness's own model can't decode behind an empty prompt, but it can score there.
        a, b = 17 * i % 90 + 10, 29 * i % 90 + 10
        # As many choices as differ from item to item, so that chance does too.
        choices = [str(a + b + k) for k in range(2 + i % 3)]
        rows.append({
            "prompt": f"{a}+{b}=" if i else "", "question": f"{a}+{b}=",
            "target": str(a + b), "choices": choices, "answer": i % len(choices),
            "pair": choices[:2], "second": i % 2,
            "long": f"{a}+{b}={a + b}+" * (4 + i % 40),
        })  # fmt: skip
    data = directory / "items.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    for kind in KINDS:
        text = f"task: digits_{kind}\n" + _COMMON.format(data=data) + _OWN[kind]
        (directory / f"{kind}.yaml").write_text(text)
    (directory / "all.yaml").write_text(
        "group: digits_all\ntask: [digits_choices, digits_shots]\n"
        "aggregate_metric_list:\n  - metric: acc\n    weight_by_size: true\n"
    )
    return directory
