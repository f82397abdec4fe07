"""RunWatcher: what may follow a training run from outside, such as tracking or a search that ends hopeless runs early."""

from training.run.stopping import EpochRecord


class RunWatcher:
    """Called by the main process of training.run.train. This one does nothing; others override what they need.

    What a watcher raises ends the run; its checkpoints stay.
    """

    def started(self) -> None:
        """The run is about to train its first epoch, or its first one after resuming."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch is over, and its checkpoint, history and curves are written."""
