//! Bodies of the fuzz targets, as plain functions, and a mutator for toolchains without a fuzzer.

use waxwing::xml;

pub mod mutate;
pub mod xml_bodies;
