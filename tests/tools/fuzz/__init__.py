"""Films spoilt at random, from a seed: nothing of them may crash, hang or fill the memory."""
