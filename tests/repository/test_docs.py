"""README.md and docs/*.md hold commands that exist, links that lead somewhere, and the settings as the code describes them."""

import os
import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from service.commands.cxr import build_app
from tests.support.documents import DOCUMENTS, ROOT, RUNBOOK, anchors, blocks, inline_commands, links, shell_commands
from tests.tools.settings_table import DOCUMENT, with_table

# The first words of all commands. Those of cxr and make are parsed below, many of cxr run by tests/repository/test_docs_run.py,
# those of curl by tests/readme_calls.sh; the others need a container engine, a cluster, or several GPUs.
PROGRAMS = {"cxr", "make", "curl", "prediction_id=$(curl", "docker", "kubectl", "torchrun"}

APP = typer.main.get_command(build_app())
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*?##", MAKEFILE, flags=re.MULTILINE))

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
every_page = pytest.mark.parametrize("document", [*DOCUMENTS, RUNBOOK], ids=lambda path: path.name)


def cxr_arguments(command):
    """What follows `cxr`, as the program itself or as what kubectl or torchrun run; None for another program."""
    names = ("cxr", "service.commands.cxr")
    return next((command.words[command.words.index(name) + 1 :] for name in names if name in command.words), None)


def fault_of(words):
    """Parses the words as cxr does, without running the command. None if cxr takes them."""
    group, context = APP, None
    try:
        while isinstance(group, TyperGroup):
            context = group.make_context("cxr", list(words), parent=context)
            _, group, words = group.resolve_command(context, [*context._protected_args, *context.args])
        group.make_context(group.name, list(words), parent=context)
    except typer.BadParameter.__base__ as fault:
        return None if "does not exist" in fault.message else fault.message  # a folder of the reader's
    return None


@every_page
def test_cxr_takes_the_options_and_arguments_of_its_commands(document):
    parsed = {command.text: cxr_arguments(command) for command in shell_commands(document)}
    faults = {text: fault_of(words) for text, words in parsed.items() if words is not None}
    assert {text: fault for text, fault in faults.items() if fault} == {}


@every_page
def test_cxr_commands_in_the_text_exist(document):
    unknown = []
    for command in inline_commands(document, "cxr"):
        found = APP
        for word in command.words[1:]:
            found = found.commands.get(word) if isinstance(found, TyperGroup) and not word.startswith("-") else found
        options = {option for parameter in found.params for option in parameter.opts} | {"--help"} if found else set()
        if not found or not {word.partition("=")[0] for word in command.words if word.startswith("--")} <= options:
            unknown.append(command.text)
    assert unknown == []


@every_page
def test_make_targets_and_their_variables_exist(document):
    unknown = []
    for command in [*shell_commands(document), *inline_commands(document, "make")]:
        if command.words[0] == "make":
            variables = [word.partition("=")[0] for word in command.words[2:] if re.match("[A-Z_]+=", word)]
            known = [re.search(rf"\$[({{]{name}[)}}]|^{name} |\b{name}=", MAKEFILE, re.MULTILINE) for name in variables]
            if command.words[1] not in TARGETS or not all(known):
                unknown.append(command.text)
    assert unknown == []


def test_every_command_is_of_a_program_that_is_parsed_run_or_not_to_be_had_here():
    commands = [command for document in DOCUMENTS for command in shell_commands(document)]
    assert [f"{command.document}: {command.text}" for command in commands if command.words[0] not in PROGRAMS] == []


@every_page
def test_no_command_is_called_as_a_module(document):
    modules = r"\.venv[a-z-]*/bin/python -m|python -m (?:service|training|export|k8s)\."
    assert re.findall(modules, document.read_text("utf-8")) == []


@every_page
def test_links_lead_to_files_and_headings(document):
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = Path(os.path.normpath(document.parent / path)) if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_document
def test_a_document_says_what_it_is_for_and_a_long_one_has_contents(document):
    lines = document.read_text("utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[2] and not lines[2].startswith(("#", "|", "-", "`"))
    if document.name == "README.md":
        assert len(lines) <= 200
    elif len(lines) > 150:
        assert any(line.startswith("- [") and "](#" in line for line in lines[:20])


def test_the_readme_links_every_document():
    assert {f"docs/{document.name}" for document in DOCUMENTS[1:]} <= {link.partition("#")[0] for link in links(DOCUMENTS[0])}


def test_the_settings_table_is_that_of_the_code():
    text = DOCUMENT.read_text("utf-8")
    assert with_table(text) == text, "run `make docs`"


def named(pattern, text):
    """Tables, figures and sections that follow the pattern: {"Table 5", "8.4"} for "Table 5" and "sections 8.2 and 8.4"."""
    number = r"\d+(?:\.\d+)*"
    found = re.findall(rf"{pattern}({number}(?:(?:,| and|, and| to) {number})*)", text)
    return {("" if "." in each else kind) + each for kind, numbers in found for each in re.findall(number, numbers)}


def test_report_holds_what_the_code_cites():
    report = (ROOT / "docs" / "report.md").read_text("utf-8")
    held = named(r"\*\*(?:[^*]* )?((?:Table|Figure) )", report) | named(r"()[Ss]ections? ", report)
    folders = ("service", "training", "export", "benchmarks", "k8s", "tests")
    texts = [path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    cited = set()
    for text in texts:
        cited |= named(r"REPORT ()(?:sections? )?", text)
        cited |= named(r"REPORT (Table |Figure )", text.replace("Tables ", "Table ").replace("Figures ", "Figure "))
    assert {"Table 12", "8.4"} <= cited
    assert cited - held == set()


def test_the_readme_needs_three_lines_of_python():
    [code] = blocks(DOCUMENTS[0], "python")
    assert len([line for line in code.splitlines() if line]) <= 3
