"""What a run is asked for where half of each target is its own first answer."""

import torch

from training.data.batches import NO_FINDING_SHOWN
from training.run.loop import target_distributions
from training.run.teacher import Teacher


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
    softened = Teacher(_Grey().train(), 0.25).soften(target_distributions(labels), labels, IMAGES)
    torch.testing.assert_close(softened[0], 0.75 * torch.tensor([1.0, 0.0, 0.0]) + 0.25 * ANSWER)
    torch.testing.assert_close(softened.sum(dim=1), torch.ones(2))


def test_a_film_without_lungs_keeps_its_target():
    labels = torch.tensor([NO_FINDING_SHOWN, 1])
    targets = target_distributions(labels)
    softened = Teacher(_Grey(), 1.0).soften(targets, labels, IMAGES)
    torch.testing.assert_close(softened, torch.stack([targets[0], ANSWER]))


def test_the_teacher_stays_as_the_network_was():
    network, labels = _Grey(), torch.tensor([0, 1])
    teacher = Teacher(network, 1.0)
    with torch.no_grad():
        network.weight.zero_()
    softened = teacher.soften(target_distributions(labels), labels, IMAGES)
    torch.testing.assert_close(softened[0], ANSWER)
    assert not softened.requires_grad
