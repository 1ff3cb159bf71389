"""The validation texts of a run's own data: what was held out, character by character."""

from pathlib import Path

import pytest

from eval.text.documents import heldout_documents
from train.config.spec import DataSpec, SourceSpec, TokenizerSpec


@pytest.mark.parametrize("rule", ["tokens", "characters"])
@pytest.mark.parametrize(
    "tokenizer",
    [TokenizerSpec("bytes"), TokenizerSpec("bpe", vocab_size=300)],
    ids=lambda t: t.kind,
)
def test_they_are_stretches_of_the_files_and_as_much_as_was_asked_for(
    tmp_path: Path, monkeypatch, rule: str, tokenizer: TokenizerSpec
):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    content = "".join(f"line {i * i} – of many\n" for i in range(20_000))
    (tmp_path / "a.txt").write_text(content)
    source = SourceSpec("text", options={"files": [str(tmp_path / "a.txt")]})
    data = DataSpec({"own": source}, tokenizer, val_tokens=8192, val_rule=rule)
    found = heldout_documents(data, seq_len=64)
    assert {document.domain for document in found} == {"own"}
    assert all(document.text in content for document in found)
    held_out = sum(len(document.text) for document in found)
    assert 8192 / 3 < held_out < 0.25 * len(content)
