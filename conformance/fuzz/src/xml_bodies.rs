//! What must hold for any bytes: the reader and rxml agree, and the framer does not care how bytes arrive.

use super::xml::{
    Context, El, Element, Frame, Framer, Limits, TreeBuilder, XmlError, parse, parse_header, write,
};
use rxml::Parse;

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Target `xml`: the reader and rxml accept the same elements and see the same tree; what is written is read as the same
/// tree; the framer cuts exactly there.
pub fn xml(data: &[u8]) {
    let ours = parse(data, &Context::client(), &Limits::default());
    // XML 1.0 §2.11 comes before all else; rxml does not do it right for a lone carriage return in an attribute value.
    let theirs = oracle(&line_ends(data));
    match (&ours, &theirs) {
        (Ok(ours), Some(theirs)) => assert_eq!(ours, theirs, "not the same tree: {}", show(data)),
        (Ok(_), None) if has_names_unknown_to_rxml(data) || has_long_reference(data) => {}
        (Ok(_), None) => panic!("rxml refuses {}", show(data)),
        (Err(XmlError::TooLarge { .. } | XmlError::Limit(_)), _) | (Err(_), None) => {}
        // rxml lets the same prefix be declared twice on one element.
        (Err(XmlError::NotWellFormed("namespace declared twice")), _) => {}
        (Err(error), Some(_)) => panic!("{error}, but rxml accepts {}", show(data)),
    }
    let Ok(tree) = ours else { return };
    for inherited in ["", "jabber:client"] {
        let text = written(tree.root(), inherited);
        let wrapped = [b"<w xmlns='", inherited.as_bytes(), b"'>", &text, b"</w>"].concat();
        let limits = Limits {
            depth: 101,
            namespaces: usize::MAX,
            parsed_factor: 1000,
            ..Limits::new(usize::MAX)
        };
        let again = parse(&wrapped, &Context::client(), &limits)
            .unwrap_or_else(|error| panic!("{error}: {}", show(&text)));
        assert_eq!(
            again.children().next().map(El::to_element).as_ref(),
            Some(&tree),
            "{}",
            show(data)
        );
    }
    let stream = [HEADER, data].concat();
    let mut framer = Framer::new(Limits::default());
    let mut input = stream.as_slice();
    assert!(matches!(
        framer.next(&mut input),
        Ok(Some(Frame::Header(_)))
    ));
    assert_eq!(framer.next(&mut input), Ok(Some(Frame::Element(data))));
    assert!(input.is_empty());
}

/// Target `framer`: the first byte chooses a limit, the second how the others, a stream, are cut into chunks. Frames and
/// outcome are those of the stream in one chunk, and every frame may be parsed without a panic.
pub fn framer(data: &[u8]) {
    let [limit, seed, stream @ ..] = data else {
        return;
    };
    let limits = Limits {
        depth: 5,
        ..Limits::new(usize::from(*limit) * 4 + 16)
    };
    let whole = cut(stream, limits, |rest| rest.len());
    let mut random = u32::from(*seed) + 1;
    let chunks = cut(stream, limits, |rest| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) as usize % (rest.len().min(9) + 1)
    });
    assert_eq!(whole, chunks, "{}", show(stream));
    let mut context = Context::client();
    for frame in &whole.0 {
        match frame {
            Owned::Header(bytes) => {
                context = parse_header(bytes, &limits).map_or(context, |header| header.context)
            }
            Owned::Element(bytes) => {
                if let Ok(tree) = parse(bytes, &context, &limits) {
                    written(tree.root(), "");
                }
            }
            Owned::Footer => {}
        }
    }
}

#[derive(Debug, PartialEq)]
enum Owned {
    Header(Vec<u8>),
    Element(Vec<u8>),
    Footer,
}

fn cut(
    mut stream: &[u8],
    limits: Limits,
    mut chunk: impl FnMut(&[u8]) -> usize,
) -> (Vec<Owned>, Option<XmlError>) {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let (mut input, rest) = stream.split_at(chunk(stream));
        stream = rest;
        loop {
            match framer.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Frame::Header(bytes))) => frames.push(Owned::Header(bytes.to_vec())),
                Ok(Some(Frame::Element(bytes))) => frames.push(Owned::Element(bytes.to_vec())),
                Ok(Some(Frame::Footer)) => frames.push(Owned::Footer),
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (frames, None)
}

/// The one element that `data` is to rxml, where `jabber:client` is the default namespace.
fn oracle(data: &[u8]) -> Option<Element> {
    let wrapped = [b"<w xmlns='jabber:client'>", data, b"</w>"].concat();
    let options = rxml::Options {
        max_token_length: 1 << 20,
        ..rxml::Options::default()
    };
    let mut parser = <rxml::Parser as rxml::WithOptions>::with_options(options);
    let mut tree = TreeBuilder::new();
    let (mut depth, mut roots, mut input) = (0, 0, wrapped.as_slice());
    while let Some(event) = parser.parse(&mut input, true).ok()? {
        match event {
            rxml::Event::XmlDeclaration(..) => return None,
            rxml::Event::StartElement(_, (ns, name), attributes) => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
                roots += i32::from(depth == 2);
                if roots > 1 {
                    return None;
                }
                tree.open(&name, &ns, "");
                for ((ns, name), value) in &attributes {
                    tree.attr(name, ns, "", value);
                }
            }
            rxml::Event::EndElement(_) => {
                depth -= 1;
                if depth > 0 {
                    tree.close();
                }
            }
            rxml::Event::Text(_, text) if depth > 1 => tree.text(&text),
            rxml::Event::Text(..) => return None,
        }
    }
    tree.finish().ok()
}

/// rxml 0.14 knows no names with U+FDF0 to U+FFFD, which XML 1.0 §2.3 allows.
fn has_names_unknown_to_rxml(data: &[u8]) -> bool {
    String::from_utf8_lossy(data).contains(|c| matches!(c, '\u{FDF0}'..='\u{FFFD}'))
}

/// rxml refuses a character reference of more than eight characters; XML 1.0 §4.1 allows any number of leading zeros.
fn has_long_reference(data: &[u8]) -> bool {
    data.windows(10)
        .any(|piece| piece.starts_with(b"&#") && !piece.contains(&b';'))
}

/// `data` after XML 1.0 §2.11.
fn line_ends(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for (at, &byte) in data.iter().enumerate() {
        match byte {
            b'\r' if data.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b'\n'),
            _ => out.push(byte),
        }
    }
    out
}

fn written(el: El<'_>, inherited: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::element(el, inherited, &mut out);
    out
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
