"""Generated tasks on letters, places and meanings: small relatives of Wei et al.'s list.

copy           copy bakom=                      bakom
reversal       reverse bakom=                   mokab
unscramble     unscramble ertwa=                water
transliterate  script shaaban=                  $Abn      (a script without short vowels)
grid           ..a./..../.b../....=             southwest (b seen from a; multiple choice)
same_sense     bank of mud; bank for loans=     no        (word in context; yes or no)
odd_one_out    pear hammer plum apple=          hammer    (multiple choice)
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from eval.tasks.prompt_formats import Problem
from eval.tasks.word_lists import CATEGORIES, SENSES, WORDS

DIRECTIONS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")
VERDICTS = ("yes", "no")

_SYLLABLE_STARTS = (*"bdgklmnprstvz", "sh", "ch", "zh", "kh")
_VOWELS = ("a", "e", "o", "aa", "ee", "oo")
_SCRIPT = {"sh": "$", "ch": "&", "zh": "%", "kh": "X", "aa": "A", "ee": "I", "oo": "U"}

Draw = Callable[[np.random.Generator, int, int], tuple[str, Problem]]
"""(randomness, letters, side) -> canonical text and problem."""


def transliterate(word: str) -> str:
    """Digraphs and long vowels become one sign each; short vowels vanish except at the start."""
    written, i = "", 0
    while i < len(word):
        pair, letter = word[i : i + 2], word[i]
        if pair in _SCRIPT:
            written, i = written + _SCRIPT[pair], i + 2
        else:
            written += letter if letter not in "aeo" or i == 0 else ""
            i += 1
    return written


def _letters(rng: np.random.Generator, n: int) -> str:
    return "".join(chr(97 + code) for code in rng.integers(0, 26, n))


def _copy(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    word = _letters(rng, letters)
    return word, Problem(f"copy {word}", word, f"What is {word}, copied")


def _reversal(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    word = _letters(rng, letters)
    return word, Problem(f"reverse {word}", word[::-1], f"What is {word}, written backwards")


def _unscramble(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    chosen = [word for word in WORDS if len(word) == letters]
    word = chosen[rng.integers(len(chosen))]
    mixed = word
    while mixed == word:
        mixed = "".join(rng.permutation(list(word)))
    alike = tuple(w for w in chosen if w != word and sorted(w) == sorted(word))
    problem = Problem(
        f"unscramble {mixed}", word, f"Which word has the letters {mixed}", accepted=alike
    )
    return mixed, problem


def _transliteration(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    word = ""
    while len(word) < letters:
        start = _SYLLABLE_STARTS[rng.integers(len(_SYLLABLE_STARTS))]
        vowel = _VOWELS[rng.integers(len(_VOWELS))]
        word += start + vowel if word or rng.random() < 0.8 else vowel
    spoken = f"How is {word} written in the script"
    return word, Problem(f"script {word}", transliterate(word), spoken)


def _grid(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    a, b = rng.permutation(side * side)[:2]
    cells = ["."] * (side * side)
    cells[a], cells[b] = "a", "b"
    rows = "/".join("".join(cells[r * side : (r + 1) * side]) for r in range(side))
    down, right = np.sign(b // side - a // side), np.sign(b % side - a % side)
    vertical = {-1: "north", 0: "", 1: "south"}[int(down)]
    horizontal = {-1: "west", 0: "", 1: "east"}[int(right)]
    spoken = f"Where is b seen from a in the grid {rows}"
    return rows, Problem(rows, vertical + horizontal, spoken, choices=DIRECTIONS)


def _same_sense(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    word = list(SENSES)[rng.integers(len(SENSES))]
    contexts = [(text, sense) for sense, texts in enumerate(SENSES[word])
                for text in texts.split("|")]  # fmt: skip
    pairs = list(combinations(contexts, 2))
    same = [pair for pair in pairs if pair[0][1] == pair[1][1]]
    other = [pair for pair in pairs if pair[0][1] != pair[1][1]]
    pool = same if rng.random() < 0.5 else other
    (first, sense), (second, other_sense) = pool[rng.integers(len(pool))]
    if rng.random() < 0.5:
        first, second = second, first
    uses = f"{word} {first}; {word} {second}"
    answer = "yes" if sense == other_sense else "no"
    spoken = f"Has {word} one meaning in: {uses}"
    canonical = " ".join([word, *sorted([first, second])])
    return canonical, Problem(uses, answer, spoken, choices=VERDICTS)


def _odd_one_out(rng: np.random.Generator, letters: int, side: int) -> tuple[str, Problem]:
    kinds = list(CATEGORIES)
    one, other = rng.permutation(len(kinds))[:2]
    alike = rng.permutation(CATEGORIES[kinds[one]].split())[:3].tolist()
    odd = str(rng.permutation(CATEGORIES[kinds[other]].split())[0])
    shown = tuple(str(word) for word in rng.permutation([*alike, odd]))
    spoken = f"Which word does not belong: {', '.join(shown)}"
    problem = Problem(" ".join(shown), odd, spoken, choices=shown)
    return " ".join(sorted(shown)), problem


TASKS: dict[str, Draw] = {
    "copy": _copy,
    "reversal": _reversal,
    "unscramble": _unscramble,
    "transliterate": _transliteration,
    "grid": _grid,
    "same_sense": _same_sense,
    "odd_one_out": _odd_one_out,
}
LETTERED = ("copy", "reversal", "unscramble", "transliterate")
UNSCRAMBLE_LENGTHS = sorted({len(word) for word in WORDS})
