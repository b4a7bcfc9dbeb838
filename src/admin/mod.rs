//! Control socket, commands, and the command line.
pub mod acts;
