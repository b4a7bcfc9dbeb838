//! Bodies of the fuzz targets, as plain functions, and a mutator for toolchains without a fuzzer.

use waxwing::{proto, stream, xml};

pub mod mutate;
pub mod stream_bodies;
pub mod xml_bodies;
