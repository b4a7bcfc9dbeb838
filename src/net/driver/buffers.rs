//! Buffers of the worker thread, lent to a connection for one poll, so that an idle connection owns none.

use std::cell::Cell;

/// Room for one whole TLS record.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// A write buffer that grew beyond this is not kept.
const WRITE_KEEP_BYTES: usize = 64 * 1024;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's read buffer, of full length; give it back with [`return_read`]. What it holds is whatever was read last.
pub(super) fn take_read() -> Vec<u8> {
    let mut buffer = READ.take();
    buffer.resize(READ_BYTES, 0);
    buffer
}

/// Gives the read buffer back.
pub(super) fn return_read(buffer: Vec<u8>) {
    READ.set(buffer);
}

/// The thread's write buffer, empty; a connection that cannot write everything keeps it, the thread makes another.
pub(super) fn take_write() -> Vec<u8> {
    WRITE.take()
}

/// Gives a drained write buffer back.
pub(super) fn return_write(mut buffer: Vec<u8>) {
    if buffer.capacity() <= WRITE_KEEP_BYTES {
        buffer.clear();
        WRITE.set(buffer);
    }
}
