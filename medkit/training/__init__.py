"""The parts of the Trainer: feed, fused steps, plan, optimizer, callbacks, checkpoint."""
