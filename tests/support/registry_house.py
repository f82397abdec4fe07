"""A registry of releases and site profiles, worked by its command."""

from service.commands.cxr import main
from service.model.releases import STATE_NAME, read_choice
from service.model.site_profile import SITE_GOLDEN_NAME

FIGURES = {"before": {"macro_auc": 0.8174, "accuracy": 0.742}, "after": {"macro_auc": 0.858, "accuracy": 0.7891}}


def run(house, *arguments):
    return main(["registry", "--models", str(house / "models"), *arguments])


def served(house):
    return read_choice(house / "models").serving


def said(capsys, house, *arguments):
    """What a command that is refused says, having changed nothing."""
    before = (house / "models" / STATE_NAME).read_bytes()
    capsys.readouterr()
    assert run(house, *arguments) == 1
    assert (house / "models" / STATE_NAME).read_bytes() == before
    return capsys.readouterr().err


def listed(house, capsys):
    """Lines of releases and of profiles by name, and the sentence below them."""
    capsys.readouterr()
    assert run(house, "list") == 0
    *tables, beneath = capsys.readouterr().out.strip().split("\n\n")
    return [{line.split()[0]: " ".join(line.split()) for line in table.splitlines()} for table in tables], beneath


def damaged(folder):
    (folder / SITE_GOLDEN_NAME).write_bytes(b"other answers")
