"""The term that draws films of one class from different sources together."""

from pathlib import Path

import pytest
import torch

from service.model.findings import Finding
from training.data.folder import FilmFile
from training.errors import ConfigError
from training.run.source_alignment import SourceAlignment

# (label, source) of ten films: source a holds classes 0 and 1, b the same, c class 2 alone.
CELLS = [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "c")] * 2
LABELS = torch.tensor([label for label, _ in CELLS])


def alignment(cells=CELLS):
    films = [FilmFile(Path(), str(at), "train", Finding.NORMAL, source, str(at)) for at, (_, source) in enumerate(cells)]
    return SourceAlignment(films, 2, torch.device("cpu"))


def test_sources_that_agree_cost_nothing_and_sources_that_differ_cost_the_squared_distance_in_standard_deviations():
    alike = torch.nn.functional.one_hot(LABELS, 3)[:, :2].float()
    assert alignment().loss(alike, LABELS, torch.arange(10)).item() == pytest.approx(0.0, abs=1e-6)
    # The first of two features is the source alone, -1 or 1: each film lies 2 deviations from the mean of the other source.
    apart = torch.tensor([[1.0 if source == "a" else -1.0, 0.0] for _, source in CELLS])
    paired = LABELS < 2
    loss = alignment().loss(apart[paired], LABELS[paired], torch.arange(10)[paired])
    assert loss.item() == pytest.approx(4.0 / 2, rel=1e-3)


def of_class_and_source():
    """One feature: the class puts films at -2 or 2, the source moves them by 1 to either side. Films 0 to 3 and 5 to 8."""
    films = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])
    values = [(4.0 * label - 2.0) + (1.0 if source == "a" else -1.0) for label, source in (CELLS[index] for index in films)]
    return torch.tensor(values).unsqueeze(1), LABELS[films], films


def test_films_move_towards_the_other_sources_of_their_class():
    embedding, labels, films = of_class_and_source()
    embedding.requires_grad_()
    alignment().loss(embedding, labels, films).backward()
    from_a = torch.tensor([CELLS[index][1] == "a" for index in films])
    # Of neighbours, those of source a stand to the right; a step against the gradient brings both closer.
    for label in (0, 1):
        right, left = (embedding.grad[(labels == label) & side].mean() for side in (from_a, ~from_a))
        assert right > left


def test_the_size_of_the_embedding_can_neither_pay_nor_cost():
    embedding, labels, films = of_class_and_source()
    small, large = (alignment().loss(size * embedding, labels, films).item() for size in (0.1, 10.0))
    assert small == pytest.approx(large, rel=1e-2)


@pytest.mark.parametrize(("direction", "expected"), [(1.0, 0.0), (-1.0, 4.0)])
def test_means_are_remembered_over_batches(direction, expected):
    aligned, classes = alignment(), torch.tensor([[-1.0], [1.0]]).expand(2, 2)
    from_a, from_b = torch.tensor([0, 2]), torch.tensor([1, 3])
    assert aligned.loss(classes, LABELS[from_a], from_a).item() == 0.0
    assert aligned.loss(direction * classes, LABELS[from_b], from_b).item() == pytest.approx(expected, abs=1e-3)


def test_means_go_on_where_they_were_saved():
    films = torch.arange(10)
    batches = [torch.randn(10, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    straight, resumed = alignment(), alignment()
    for batch in batches[:2]:
        straight.loss(batch, LABELS, films)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in straight.state_dict().items()})
    fresh = alignment().loss(batches[2], LABELS, films)
    expected = straight.loss(batches[2], LABELS, films)
    assert torch.equal(resumed.loss(batches[2], LABELS, films), expected)
    assert not torch.equal(fresh, expected)


def test_a_single_film_costs_nothing_instead_of_failing():
    only = torch.where(torch.arange(10) == 3, LABELS, -1)
    assert alignment().loss(torch.randn(10, 2), only, torch.arange(10)) == 0


def test_without_a_class_of_two_sources_there_is_nothing_to_align():
    with pytest.raises(ConfigError, match=r"needs a class with training films of two sources; name the sources"):
        alignment([(0, "a"), (1, "a")])


def test_films_without_a_finding_and_classes_of_one_source_take_no_part():
    films = torch.tensor([0, 1, 4, 9])
    embedding = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert alignment().loss(embedding, torch.tensor([-1, 0, 2, 2]), films).item() == 0.0
