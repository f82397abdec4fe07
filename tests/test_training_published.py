"""Commands that stand in reports."""

from training.published import published_command


def test_a_published_command_does_not_tell_where_folders_lie():
    words = ["/srv/bundle", "--data", "/srv/films/cxr", "--out=/home/me/out", "--parts=a,b", "../data", "my films"]
    assert published_command("training.evaluation", words) == (
        "python -m training.evaluation bundle --data cxr --out=out --parts=a,b ../data 'my films'"
    )
