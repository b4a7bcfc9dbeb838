//! Bound clients: seats, outboxes, the directory of who is connected.
