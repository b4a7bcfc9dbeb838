//! Drives the fuzz bodies with mutated seeds. `FUZZ_SECONDS` (default 5) is the time for each.

use std::path::Path;
use std::time::{Duration, Instant};
use waxwing_fuzz::mutate::{Random, mutate};
use waxwing_fuzz::{mls_bodies, net_bodies, relay_bodies, store_bodies, stream_bodies, xml_bodies};

fn drive(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let files = std::fs::read_dir(folder)
        .expect("seeds")
        .map(|entry| entry.expect("a seed").path());
    let seeds: Vec<Vec<u8>> = files
        .map(|path| std::fs::read(path).expect("a seed"))
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| body(seed));
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let end = Instant::now() + Duration::from_secs(seconds);
    let start = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| now.as_nanos() as u64);
    let mut random = Random::new(start);
    let mut runs = 0u64;
    while Instant::now() < end {
        for _ in 0..1000 {
            body(&mutate(&seeds, &mut random));
        }
        runs += 1000;
    }
    println!("{target}: {runs} runs, seed {start}");
}

#[test]
fn xml() {
    drive("xml", xml_bodies::xml);
}

#[test]
fn framer() {
    drive("framer", xml_bodies::framer);
}

#[test]
fn websocket() {
    drive("websocket", net_bodies::websocket);
}

#[test]
fn relay() {
    drive("relay", relay_bodies::relay);
}

#[test]
fn mls_framing() {
    drive("mls_framing", mls_bodies::framing);
}

#[test]
fn mls_package() {
    drive("mls_package", mls_bodies::package);
}

#[test]
fn base64() {
    drive("base64", stream_bodies::base64);
}

#[test]
fn plain() {
    drive("plain", stream_bodies::plain);
}

#[test]
fn scram_final() {
    drive("scram_final", stream_bodies::scram_final);
}

#[test]
fn scram_first() {
    drive("scram_first", stream_bodies::scram_first);
}

#[test]
fn stream() {
    drive("stream", stream_bodies::stream);
}

#[test]
fn backup() {
    drive("backup", store_bodies::backup);
}

#[test]
fn portable() {
    drive("portable", store_bodies::portable);
}
