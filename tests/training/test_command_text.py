"""Commands that stand in reports."""

from pathlib import Path

from training.command_text import command_line


def test_a_published_command_does_not_tell_where_folders_lie():
    options = {"data": Path("/srv/films/cxr"), "out": Path("../out"), "parts": "a,b", "not_chest": Path("my films")}
    assert command_line("cxr evaluate", Path("/srv/bundle"), **options) == (
        "cxr evaluate bundle --data cxr --out ../out --parts a,b --not-chest 'my films'"
    )


def test_a_list_repeats_its_option_and_an_empty_one_is_left_out():
    assert command_line("cxr train", set=["run.seed=1", "run.threads=2"], changes=[]) == (
        "cxr train --set run.seed=1 --set run.threads=2"
    )
