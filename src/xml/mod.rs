//! Bytes to elements and back: framer, strict parser, limits, writer. No socket, no clock, no `async`.
