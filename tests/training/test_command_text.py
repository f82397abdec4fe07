"""Commands that stand in reports."""

from training.command_text import published_command


def test_a_published_command_does_not_tell_where_folders_lie():
    words = ["/srv/bundle", "--data", "/srv/films/cxr", "--out=/home/me/out", "--parts=a,b", "../data", "my films"]
    assert published_command("training.evaluation.evaluate", words) == (
        "python -m training.evaluation.evaluate bundle --data cxr --out=out --parts=a,b ../data 'my films'"
    )
