//! What must hold for any input.

use super::mutate::{Random, mutate};
use super::*;
use proptest::prelude::*;

const SEEDS: &[&[u8]] = &[
    include_bytes!("../../../conformance/fuzz/seeds/xml/message.xml"),
    include_bytes!("../../../conformance/fuzz/seeds/xml/iq.xml"),
    include_bytes!("../../../conformance/fuzz/seeds/xml/namespaces.xml"),
    include_bytes!("../../../conformance/fuzz/seeds/xml/cdata.xml"),
    include_bytes!("../../../conformance/fuzz/seeds/xml/ends.xml"),
    include_bytes!("../../../conformance/fuzz/seeds/xml/names.xml"),
];
const STREAM_SEEDS: &[&[u8]] = &[
    include_bytes!("../../../conformance/fuzz/seeds/framer/stream"),
    include_bytes!("../../../conformance/fuzz/seeds/framer/server"),
    include_bytes!("../../../conformance/fuzz/seeds/framer/cdata.xml"),
];

/// How many mutations a test tries.
fn runs() -> u64 {
    std::env::var("FUZZ_RUNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2000)
}

#[test]
fn the_reader_agrees_with_rxml() {
    for seed in SEEDS {
        xml_bodies::xml(seed);
        assert!(parse(seed, &Context::client(), &Limits::default()).is_ok());
    }
    let mut random = Random::new(random_seed());
    for _ in 0..runs() {
        xml_bodies::xml(&mutate(SEEDS, &mut random));
    }
}

#[test]
fn the_framer_does_not_care_how_bytes_arrive() {
    STREAM_SEEDS
        .iter()
        .for_each(|seed| xml_bodies::framer(seed));
    let mut random = Random::new(random_seed());
    for _ in 0..runs() {
        xml_bodies::framer(&mutate(STREAM_SEEDS, &mut random));
    }
}

/// Another one in every run; printed, so that a failure can be repeated.
fn random_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    println!("seed {}", now.as_nanos() as u64);
    now.as_nanos() as u64
}

/// A step of building a tree.
#[derive(Debug, Clone)]
enum Act {
    Open(usize, usize),
    Attr(usize, usize, usize, String),
    Text(String),
    Close,
}

const LOCALS: [&str; 6] = ["a", "message", "b.c", "é", "lang", "x-1"];
const NAMESPACES: [&str; 6] = ["", "jabber:client", "urn:x", "urn:y&'\"<>\n", XML, "urn:z"];
const HINTS: [&str; 6] = ["", "p", "xml", "xmlns", "ns0", "ns1"];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..LOCALS.len(), 0..NAMESPACES.len()).prop_map(|(local, ns)| Act::Open(local, ns)),
        3 => (0..LOCALS.len(), 0..NAMESPACES.len(), 0..HINTS.len(), content())
            .prop_map(|(local, ns, hint, value)| Act::Attr(local, ns, hint, value)),
        2 => content().prop_map(Act::Text),
        2 => Just(Act::Close),
    ]
}

/// Text of XML characters, rich in those that need care.
fn content() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        prop::sample::select(
            &[
                '\t', '\n', '\r', '<', '>', '&', ']', '\'', '"', ' ', '\u{FFFD}', '\u{FEFF}',
                '\u{FF3D}'
            ][..]
        ),
        any::<char>().prop_filter("an XML character", |&c| super::chars::is_char(c)),
    ];
    prop::collection::vec(c, 0..8).prop_map(String::from_iter)
}

/// The tree the steps build; those that do not fit are left out.
fn build(acts: &[Act]) -> Element {
    let mut tree = TreeBuilder::new();
    tree.open("root", "urn:x", "");
    let mut seen = Some(Vec::new());
    for act in acts {
        match act {
            Act::Open(local, ns) => {
                tree.open(LOCALS[*local], NAMESPACES[*ns], "");
                seen = Some(Vec::new());
            }
            Act::Attr(local, ns, hint, value) => {
                if let Some(seen) = seen.as_mut().filter(|seen| !seen.contains(&(*local, *ns))) {
                    tree.attr(LOCALS[*local], NAMESPACES[*ns], HINTS[*hint], value);
                    seen.push((*local, *ns));
                }
            }
            Act::Text(text) => {
                tree.text(text);
                if !text.is_empty() {
                    seen = None;
                }
            }
            Act::Close if tree.depth() > 1 => {
                tree.close();
                seen = None;
            }
            Act::Close => {}
        }
    }
    while tree.depth() > 0 {
        tree.close();
    }
    tree.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_is_read_as_the_same_tree(acts in prop::collection::vec(act(), 0..40)) {
        let tree = build(&acts);
        let text = written(&tree);
        let again = read(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(&again, &tree);
        for child in tree.children() {
            prop_assert_eq!(&child.to_element(), &child);
            let mut parent = Element::new("w", "urn:y");
            parent.push_child(child);
            prop_assert_eq!(read(&written(&parent)).unwrap(), parent);
        }
    }

    #[test]
    fn any_text_is_written_well_formed(text in any::<String>(), value in any::<String>()) {
        let el = Element::new("a", "jabber:client").with_attr("b", &value).with_text(&text);
        let again = read(&written(&el)).unwrap();
        let carried = |s: &str| s.chars().map(|c| if super::chars::is_char(c) { c } else { '\u{FFFD}' }).collect::<String>();
        prop_assert_eq!(again.text(), carried(&text));
        prop_assert_eq!(again.attr("b"), Some(&*carried(&value)));
    }

    #[test]
    fn junk_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        xml_bodies::xml(&bytes);
        xml_bodies::framer(&bytes);
        let _ = parse_header(&bytes, &Limits::default());
    }
}
