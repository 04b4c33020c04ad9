"""From a data part to batches on the device: resident or streamed, augmented, mixed, in views."""
