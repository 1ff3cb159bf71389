"""An item and everything that a model did with it: what every metric is computed from."""

from dataclasses import dataclass

from eval.tasks.grading import grading_of
from eval.tasks.prompt_formats import graded_part


@dataclass(frozen=True, slots=True)
class Outcome:
    """An item and everything a model did with it. Log-probabilities are natural.

    `target_logprobs` and `target_hits` (was the token the argmax?) have one entry per target token
    and a last one for the stop token, teacher-forced. `output_logprob` is that of the decoded
    output with its stop token. `choice_logprobs` sum each choice's tokens, stop token left out.
    `layout` is the format that tells where outputs hold their graded part. `p_true` is the
    probability that the model itself gives to its output being right. `n_leading` counts the
    target's first tokens that are space alone, where nothing is answered. `choice_n_tokens` and
    `choice_base_logprobs` (behind a prompt without the question) serve to normalise choices; ()
    where they were not asked.
    """

    prompt: str
    target: str
    target_tokens: tuple[int, ...]
    answer: str = ""
    accepted: tuple[str, ...] = ()
    target_logprobs: tuple[float, ...] = ()
    target_hits: tuple[bool, ...] = ()
    layout: str = "plain"
    output: str | None = None
    output_tokens: tuple[int, ...] = ()
    output_logprob: float | None = None
    stopped: bool = False
    choices: tuple[str, ...] = ()
    choice_scores: tuple[float, ...] = ()
    choice_logprobs: tuple[float, ...] = ()
    sample_outputs: tuple[str, ...] = ()
    sample_stopped: tuple[bool, ...] = ()
    p_true: float | None = None
    n_leading: int = 0
    choice_n_tokens: tuple[int, ...] = ()
    choice_base_logprobs: tuple[float, ...] = ()

    @property
    def answer_hits(self) -> tuple[bool, ...]:
        """Hits of the answer's own tokens: no stop token, no space that is a token of its own."""
        return self.target_hits[self.n_leading : -1]

    @property
    def right_answers(self) -> tuple[str, ...]:
        return (self.answer or self.target.strip(), *self.accepted)

    @property
    def graded(self) -> str | None:
        """The graded part of the output; None if it was cut off before that part was complete."""
        return None if self.output is None else _part(self.output, self.layout, self.stopped)

    @property
    def samples(self) -> tuple[str | None, ...]:
        """The graded part of each sampled output, None for one that was cut off before its end."""
        pairs = zip(self.sample_outputs, self.sample_stopped, strict=True)
        return tuple(_part(text, self.layout, ended) for text, ended in pairs)

    def is_right(self, answer: str | None) -> bool:
        """Whether a graded part is a right answer, by the task's own rules where it has some."""
        rules = grading_of(self.layout)
        if rules is None or answer is None:
            return answer in self.right_answers
        return any(rules.equal(answer, right) for right in self.right_answers)


def _part(output: str, layout: str, stopped: bool) -> str | None:
    rules = grading_of(layout)
    if not stopped:
        return None if rules is None else rules.settled(output)
    return graded_part(output, layout) if rules is None else rules.part(output)
