//! Bodies of the fuzz targets, as plain functions, and a mutator for toolchains without a fuzzer.

use waxwing::{admin, mls, net, proto, relay, runtime, store, stream, xml};

pub mod mls_bodies;
pub mod mutate;
pub mod net_bodies;
pub mod relay_bodies;
pub mod store_bodies;
pub mod stream_bodies;
pub mod xml_bodies;
