"""Words that are retired: each meant several things, or nothing, or is no English of the field."""

from __future__ import annotations

import bisect
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted((ROOT / "medkit").rglob("*.py"))
TEXTS = sorted(
    [
        *(ROOT / "medkit").rglob("*.j2"), *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("configs/**/*.yaml"), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
    ]
)  # fmt: skip

# Name -> what to call it instead. What a name of several meanings is to be called depends on which.
NAMES = {
    "new_data": "read_unlabelled, external_data",
    "NewData": "ExternalData",
    "Reading": "ColumnReader",
    "Plan": "GridPlan, FoldPlan, Execution",
    "Found": "what was found: FoundRoles, Tuned",
    "counted": "what was counted, or count_… of a function",
    "windows_of": "input_windows, known_course",
    "tripled": "to_triplets",
    "handed": "to_engine",
    "few": "what they are",
    "said": "what was said: notes, facts, an alternative text",
    "told": "what was told: measured, remarks",
    "prints": "stamps",
    "ways": "aggregates",
    "untils": "input_ends",
    "taps": "what they are",
    "beside": "what stands there",
    "interval": "confidence_interval; of time: intervals",
    "places": "positions, columns; where something is, for a message: place",
}

# Phrase -> the English of the field.
PHRASES = {
    r"\b(?:is|are|was|were) due\b": "is expected",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\btold apart\b": "distinguished; of a model: discriminates",
    r"\btells? .{0,40}\bapart\b": "distinguishes; of a model: discriminates",
    r"\bhow sure\b": "how certain",
    r"\bis grave\b": "is serious",
    r"\btold from\b": "distinguished from, recognized from",
    r"\bspeaks? for\b": "is a reason for",
    r"\b(?:network|predicted|target|first|new|group's number) less\b": "minus",
    r"\bfor ever\b": "forever",
    r"\btrain(?:ed)? anew\b": "start a new run",
    r"\bone answer an? \w+": "one answer per",
    r"\bis lacking\b": "is missing",
    r"\bcannot go on\b": "cannot continue",
    r"\bexclude each other\b": "are mutually exclusive",
}


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_names(path):
    found = []
    with open(path, encoding="utf-8") as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.NAME and token.string in NAMES:
                found.append(f"{at(path, token.start[0])}: {token.string} ({NAMES[token.string]})")
    assert not found, "retired names:\n" + "\n".join(found)


# Where a text continues in the next line: one string ends and another begins, or a comment.
SEAM = re.compile(r"[\"']?\n\s*(?:f?[\"']|#)?")


def phrases(text: str) -> list[tuple[int, str, str]]:
    """(line, phrase, what to write instead) of every retired phrase, also over a line's end."""
    ends = [match.start() for match in re.finditer(r"\n", text)]
    joined = SEAM.sub(lambda match: " ".ljust(len(match[0])), text)
    return [
        (bisect.bisect_left(ends, match.start()) + 1, re.sub(r"\s+", " ", match[0]), instead)
        for phrase, instead in PHRASES.items()
        for match in re.finditer(phrase.replace(" ", r"\s+"), joined, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", [*CODE, *TEXTS], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_phrases(path):
    found = [
        f"{at(path, line)}: '{phrase}' ({instead})"
        for line, phrase, instead in phrases(path.read_text(encoding="utf-8"))
    ]
    assert not found, "retired phrases:\n" + "\n".join(found)


def test_retired_words_are_found():
    code = "told = f(x)  # told\n"
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    assert [t.start for t in tokens if t.type == tokenize.NAME and t.string in NAMES] == [(1, 0)]
    text = 'x = 1\nraise E("text where numbers "\n        "are due")\n'
    assert phrases(text + "# how to\n# mend it\n") == [
        (3, "are due", "is expected"), (5, "mend", "fix"),
    ]  # fmt: skip
