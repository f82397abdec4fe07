"""README.md, docs/*.md and the runbook as their readers use them: commands to copy, links to follow."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.server.serving import ROOT

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUNBOOK = ROOT / "k8s" / "RUNBOOK.md"
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True)
class Command:
    """One command of a document."""

    document: str  # its file's name
    text: str  # the command as it stands, continuation lines joined
    words: tuple[str, ...]  # the words after variables such as CXR_AUTH=keys, comments left out


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return [match[3] for match in _FENCE.finditer(document.read_text("utf-8")) if match[2] == language]


def shell_commands(document: Path) -> Iterator[Command]:
    """Every command in a `sh` block."""
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and _ASSIGNMENT.fullmatch(words[0]):
                del words[0]
            if words:
                yield Command(document.name, line.strip(), tuple(words))


def inline_commands(document: Path, program: str) -> Iterator[Command]:
    """Every command of this program in `backticks`."""
    for text in re.findall(rf"`({program} [^`]+)`", _FENCE.sub("", document.read_text("utf-8"))):
        yield Command(document.name, text, tuple(text.split()))


def links(document: Path) -> list[str]:
    """Targets of all links and pictures that lead into the repository."""
    found = _LINK.findall(_FENCE.sub("", document.read_text("utf-8")))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(document: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", document.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
