//! Checkpoints of an engine under writes, and directories after a crash.
