//! Control socket, commands, and the command line.
