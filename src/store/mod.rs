//! The embedded store: spaces, batches, snapshots, engines, and the committer.
