//! What a connection writes to its carrier: text messages of a WebSocket (RFC 6455 §5.2), each a document, and control frames.

use crate::xml::{self, Element, Limits};

/// What was put together of the bytes so far.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

/// A message of the server.
#[derive(Debug)]
pub(super) enum Document {
    /// The header of a stream.
    Open(Element),
    /// Its end.
    Close,
    /// A stream error.
    Error(Vec<u8>),
    /// Anything else.
    Other(Vec<u8>),
}

impl Frames {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next document, if it is whole.
    pub(super) fn next(&mut self) -> Option<Document> {
        loop {
            let (kind, payload) = self.frame()?;
            if kind == TEXT {
                return Some(understood(payload));
            }
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (kind, length, head) = match self.0.as_slice() {
            [kind, 126, a, b, ..] => (*kind, u64::from(u16::from_be_bytes([*a, *b])), 4),
            [kind, 127, a, b, c, d, e, f, g, h, ..] => {
                let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (*kind, length, 10)
            }
            [_, 126 | 127, ..] => return None,
            [kind, length, ..] => (*kind, u64::from(*length), 2),
            _ => return None,
        };
        let end = usize::try_from(length).ok()?.checked_add(head)?;
        let payload = self.0.get(head..end)?.to_vec();
        self.0.drain(..end);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some((kind, payload))
    }
}

/// The only frame of a text message.
const TEXT: u8 = 0x81;

fn understood(document: Vec<u8>) -> Document {
    if document.starts_with(b"<open ") {
        let open = xml::parse_document(&document, &Limits::STORED);
        return open.map_or_else(|_| Document::Other(document), Document::Open);
    }
    if document.starts_with(b"<close ") {
        return Document::Close;
    }
    if document.starts_with(b"<stream:error ") {
        return Document::Error(document);
    }
    Document::Other(document)
}

/// A message as a client sends it, with a mask that changes nothing.
pub(super) fn masked(document: &[u8]) -> Vec<u8> {
    let mut frame = vec![TEXT];
    match (u8::try_from(document.len()), u16::try_from(document.len())) {
        (Ok(short @ ..=125), _) => frame.push(0x80 | short),
        (_, Ok(middle)) => {
            frame.push(0x80 | 126);
            frame.extend(middle.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((document.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(document);
    frame
}
