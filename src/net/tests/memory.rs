//! What an idle connection costs.

use crate::net::driver::Connection;

#[test]
fn a_connection_is_small() {
    let size = std::mem::size_of::<Connection>();
    assert!(size <= 600, "{size}");
}
