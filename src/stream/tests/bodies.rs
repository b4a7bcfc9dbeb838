//! The bodies of the fuzz targets, run for a moment on their seeds with bytes changed.

use std::path::Path;

use proptest::prelude::*;

use crate::{proto, stream, xml};

#[allow(unused_imports, missing_docs)]
#[path = "../../../conformance/fuzz/src/stream_bodies.rs"]
mod stream_bodies;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("conformance/fuzz/seeds").join(target);
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}

fn mutated(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![any::<u8>(), prop::sample::select(b"=,<>/'n".to_vec())],
    );
    let changes = prop::collection::vec(change, 0..4);
    (prop::sample::select(seeds(target)), changes).prop_map(|(mut seed, changes)| {
        for (at, byte) in changes {
            let at = at.index(seed.len());
            seed[at] = byte;
        }
        seed
    })
}

proptest! {
    #[test]
    fn base64(data in mutated("base64")) {
        stream_bodies::base64(&data);
    }

    #[test]
    fn plain(data in mutated("plain")) {
        stream_bodies::plain(&data);
    }

    #[test]
    fn scram_first(data in mutated("scram_first")) {
        stream_bodies::scram_first(&data);
    }

    #[test]
    fn scram_final(data in mutated("scram_final")) {
        stream_bodies::scram_final(&data);
    }

    #[test]
    fn stream(data in mutated("stream")) {
        stream_bodies::stream(&data);
    }
}
