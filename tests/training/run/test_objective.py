"""Targets, mixing, cross-entropy, and the teacher's share."""

import pytest
import torch

from training.config import AugmentConfig
from training.data.batches import NO_FINDING_SHOWN
from training.run.objective import Objective, Teacher, mix


def soft_cross_entropy(logits, targets, weights):
    return Objective(class_weights=weights).terms(logits, targets).mean


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_soft_cross_entropy_equals_pytorchs_for_hard_targets(weights):
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 3), torch.randint(0, 3, (16,))
    own = soft_cross_entropy(logits, torch.nn.functional.one_hot(labels, 3).float(), weights)
    torch.testing.assert_close(own, torch.nn.functional.cross_entropy(logits, labels, weights))


def test_label_smoothing_equals_pytorchs():
    torch.manual_seed(0)
    logits, labels = torch.randn(16, 3), torch.randint(0, 3, (16,))
    smooth = torch.nn.functional.one_hot(labels, 3).float() * 0.9 + 0.1 / 3
    torch.testing.assert_close(
        soft_cross_entropy(logits, smooth, None), torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    )


def test_a_film_that_shows_no_finding_is_to_be_called_nothing():
    targets = Objective(label_smoothing=0.1).targets(torch.tensor([1, NO_FINDING_SHOWN]))
    torch.testing.assert_close(targets, torch.tensor([[0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3], [1 / 3, 1 / 3, 1 / 3]]))


def test_mixing_is_off_by_default_and_keeps_images_as_they_are():
    images, targets = torch.randint(0, 256, (4, 8, 8), dtype=torch.uint8), torch.eye(4)[:, :3]
    assert mix(images, targets, AugmentConfig())[0] is images


def test_mixup_mixes_pixels_and_targets_by_the_same_share():
    torch.manual_seed(3)
    images = torch.stack([torch.full((8, 8), 200, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.uint8)])
    mixed, targets = mix(images, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), AugmentConfig(mixup_alpha=1.0))
    torch.testing.assert_close(mixed[:, 0, 0] / 200.0, targets[:, 0])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))


def test_cutmix_pastes_a_box_whose_area_is_the_targets_share():
    for seed in range(5):
        torch.manual_seed(seed)
        images = torch.stack([torch.full((32, 32), 200, dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8)])
        mixed, targets = mix(images, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), AugmentConfig(cutmix_alpha=1.0))
        torch.testing.assert_close((mixed == 200).float().mean(dim=(1, 2)), targets[:, 0])


def test_loss_terms_of_mixed_films_add_up_over_batches():
    torch.manual_seed(0)
    objective = Objective(class_weights=torch.tensor([0.2, 1.0, 5.0]))
    logits, targets = torch.randn(12, 3), torch.rand(12, 3).softmax(dim=1)
    whole = objective.terms(logits, targets)
    parts = [objective.terms(*part) for part in zip(logits.split(5), targets.split(5), strict=True)]
    torch.testing.assert_close(sum(part.summed for part in parts), whole.summed)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight)


class _Grey(torch.nn.Module):
    """Logits from the mean grey value; dropout shows whether it is in training mode."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.0, 1.0, 2.0]))
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, images):
        grey = images.float().mean(dim=(1, 2)).unsqueeze(1) / 255.0
        return self.dropout(grey * self.weight), grey


IMAGES = torch.full((2, 4, 4), 255, dtype=torch.uint8)
ANSWER = torch.tensor([0.0, 1.0, 2.0]).softmax(dim=0)


def test_a_target_is_part_label_part_first_answer():
    labels = torch.tensor([0, 2])
    softened = Teacher(_Grey().train(), 0.25).soften(Objective().targets(labels), labels, IMAGES)
    torch.testing.assert_close(softened[0], 0.75 * torch.tensor([1.0, 0.0, 0.0]) + 0.25 * ANSWER)
    torch.testing.assert_close(softened.sum(dim=1), torch.ones(2))


def test_a_film_without_lungs_keeps_its_target():
    labels = torch.tensor([NO_FINDING_SHOWN, 1])
    targets = Objective().targets(labels)
    softened = Teacher(_Grey(), 1.0).soften(targets, labels, IMAGES)
    torch.testing.assert_close(softened, torch.stack([targets[0], ANSWER]))


def test_the_teacher_stays_as_the_network_was():
    network, labels = _Grey(), torch.tensor([0, 1])
    teacher = Teacher(network, 1.0)
    with torch.no_grad():
        network.weight.zero_()
    softened = teacher.soften(Objective().targets(labels), labels, IMAGES)
    torch.testing.assert_close(softened[0], ANSWER)
    assert not softened.requires_grad
