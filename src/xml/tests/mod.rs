//! Tests that need several parts of the room together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod hostile;
mod properties;
mod reading;
mod writing;

use super::*;
use crate::xml;

#[path = "../../../conformance/fuzz/src/mutate.rs"]
#[allow(unreachable_pub)]
mod mutate;
/// The fuzz targets, for short runs of them on any toolchain.
#[path = "../../../conformance/fuzz/src/xml_bodies.rs"]
mod xml_bodies;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.example' version='1.0' xml:lang='en' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Reads one element as on an ordinary client stream.
fn read(xml: &str) -> Result<Element, XmlError> {
    parse(xml.as_bytes(), &Context::client(), &Limits::default())
}

/// The element written for a place where `jabber:client` is the default.
fn written(el: &Element) -> String {
    let mut out = Vec::new();
    write::element(el.root(), "jabber:client", &mut out);
    String::from_utf8(out).unwrap()
}

fn rewritten(xml: &str) -> String {
    written(&read(xml).unwrap())
}
