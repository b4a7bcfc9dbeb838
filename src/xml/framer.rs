//! Cuts the bytes of a stream into header, top-level elements and footer (RFC 6120 §4.2–4.4, §11).

use super::chars::is_space;
use super::{Limits, XmlError};
use memchr::{memchr, memchr3};

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Optional XML declaration and the start tag of the stream; for [`parse_header`](super::parse_header).
    Header(&'a [u8]),
    /// One top-level element; for [`parse`](super::parse).
    Element(&'a [u8]),
    /// The end tag of the stream.
    Footer,
}

/// Finds the pieces, looking at each byte once, however the bytes arrive. It owns memory only while a piece is
/// incomplete.
///
/// DTDs, comments, processing instructions, what is too long or too deep, and text between elements are refused as soon
/// as they are seen; everything else that can be wrong inside a piece is found when it is parsed. After an error the
/// same error comes again.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    /// The beginning of an incomplete piece, or the complete piece given out last.
    carry: Vec<u8>,
    given_out: bool,
    /// Bytes of the piece so far.
    taken: usize,
    depth: usize,
    /// The document has not got its root yet.
    in_header: bool,
    /// Where the name in the header's start tag begins.
    name_start: usize,
    /// The name of the stream element as written, if it is not `stream:stream`.
    stream_name: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a document.
    Start,
    /// Before the first byte of a document that takes the place of another: white space belongs to that one still.
    Restart,
    /// Between pieces.
    Between,
    /// Inside an element, outside of markup.
    Text,
    /// After `<`.
    Markup,
    /// In a start tag; whether the last byte was a slash.
    StartTag {
        slash: bool,
    },
    /// In a quoted attribute value.
    Quoted(u8),
    /// In an end tag.
    EndTag,
    /// After `<!`, with so many bytes of `[CDATA[` seen.
    Bang(usize),
    /// In a CDATA section, with so many closing brackets just seen.
    CData {
        brackets: usize,
    },
    /// After `<?`, with so many bytes of `xml` seen.
    Question(usize),
    /// In the XML declaration; whether the last byte was a question mark.
    Declaration {
        question: bool,
    },
    /// In the end tag of the stream, with so many bytes of its name seen.
    Footer(usize),
    /// After the end tag of the stream.
    Ended,
    Failed(XmlError),
}

/// What a step found.
enum Found {
    Nothing,
    Header,
    Element,
    Footer,
}

impl Framer {
    /// Expects a stream header.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            carry: Vec::new(),
            given_out: false,
            taken: 0,
            depth: 0,
            in_header: true,
            name_start: 0,
            stream_name: None,
        }
    }

    /// Forgets everything and expects a new stream header (RFC 6120 §4.3.3). White space before it is swallowed: some
    /// clients end `<auth/>` with a line feed (RFC 6120 §6.3.5 says they must not).
    pub fn restart(&mut self) {
        *self = Self {
            state: State::Restart,
            ..Self::new(self.limits)
        };
    }

    /// The limits in force.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Other limits from here on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes on the heap; none between pieces, but for a stream element of an unusual name.
    pub fn heap_bytes(&self) -> usize {
        self.carry.capacity() + self.stream_name.as_ref().map_or(0, |name| name.len())
    }

    /// Takes bytes from the front of `input` until a piece is complete; `None` when they are used up before. White space
    /// between elements is swallowed.
    ///
    /// # Errors
    /// What must end the stream; see [`XmlError`].
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'a>>, XmlError> {
        if self.given_out {
            self.carry = Vec::new();
            self.given_out = false;
        }
        let bytes = *input;
        match self.cut(bytes) {
            Ok((found, start, end)) => {
                *input = bytes.get(end..).unwrap_or_default();
                let piece = bytes.get(start..end).unwrap_or_default();
                Ok(self.give(found, piece))
            }
            Err(error) => {
                self.carry = Vec::new();
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Finds the end of the next piece; with it, where the part of the piece that is in `bytes` starts and ends.
    fn cut(&mut self, bytes: &[u8]) -> Result<(Found, usize, usize), XmlError> {
        let (mut start, mut at) = (0, 0);
        loop {
            let mut rest = bytes.get(at..).unwrap_or_default();
            if self.skips_space() {
                at += rest
                    .iter()
                    .position(|&b| !is_space(b))
                    .unwrap_or(rest.len());
                start = at;
                rest = bytes.get(at..).unwrap_or_default();
            }
            let Some(&first) = rest.first() else {
                return Ok((Found::Nothing, start, at));
            };
            // One byte more than allowed is enough to know.
            let left = self
                .limits
                .stanza_bytes
                .saturating_sub(self.taken)
                .saturating_add(1);
            rest = rest.get(..left).unwrap_or(rest);
            let (used, found) = self.step(first, rest)?;
            at += used;
            self.taken += used;
            if self.taken > self.limits.stanza_bytes {
                return Err(XmlError::TooLarge {
                    limit: self.limits.stanza_bytes,
                });
            }
            if !matches!(found, Found::Nothing) {
                return Ok((found, start, at));
            }
        }
    }

    fn skips_space(&self) -> bool {
        match self.state {
            State::Restart => true,
            State::Between | State::Ended => !self.in_header,
            _ => false,
        }
    }

    /// Makes a frame of what was found and the last part of its bytes, or keeps that part.
    fn give<'a>(&'a mut self, found: Found, piece: &'a [u8]) -> Option<Frame<'a>> {
        let whole = match found {
            Found::Nothing if matches!(self.state, State::Footer(_)) => return None,
            Found::Nothing => {
                self.keep(piece);
                return None;
            }
            _ if self.carry.is_empty() => piece,
            _ => {
                self.keep(piece);
                self.given_out = true;
                &self.carry
            }
        };
        self.taken = 0;
        match found {
            Found::Nothing => None,
            Found::Footer => Some(Frame::Footer),
            Found::Element => Some(Frame::Element(whole)),
            Found::Header => {
                let name = whole.get(self.name_start..).unwrap_or_default();
                let end = name
                    .iter()
                    .position(|&b| is_space(b) || b == b'>')
                    .unwrap_or(name.len());
                self.stream_name = name
                    .get(..end)
                    .filter(|&name| name != USUAL_NAME)
                    .map(Into::into);
                Some(Frame::Header(whole))
            }
        }
    }

    /// Appends to the carry, never taking more memory than twice what is needed or than the limit.
    fn keep(&mut self, piece: &[u8]) {
        let needed = self.carry.len() + piece.len();
        if needed > self.carry.capacity() {
            let doubled = (self.carry.capacity() * 2).min(self.limits.stanza_bytes);
            self.carry
                .reserve_exact(needed.max(doubled) - self.carry.len());
        }
        self.carry.extend_from_slice(piece);
    }

    /// Looks at the front of `rest`, whose first byte is `first`: how many bytes are dealt with, and what they complete.
    fn step(&mut self, first: u8, rest: &[u8]) -> Result<(usize, Found), XmlError> {
        match self.state {
            State::Start | State::Restart | State::Between => self.outside(first),
            State::Text => Ok(self.skip_to(memchr(b'<', rest), rest, State::Markup)),
            State::Markup => self.markup(first),
            State::StartTag { slash } => self.start_tag(slash, rest),
            State::Quoted(quote) => {
                Ok(self.skip_to(memchr(quote, rest), rest, State::StartTag { slash: false }))
            }
            State::EndTag => Ok(self.end_tag(rest)),
            State::Bang(seen) => self.bang(seen, first),
            State::CData { brackets } => Ok(self.cdata(brackets, first, rest)),
            State::Question(seen) => self.question(seen, first),
            State::Declaration { question } => self.declaration(question, rest),
            State::Footer(seen) => self.footer(seen, first),
            State::Ended => Err(XmlError::NotWellFormed("data after the end of the stream")),
            State::Failed(error) => Err(error),
        }
    }

    /// Goes on behind the byte found, in the state `then`, or to the end.
    fn skip_to(&mut self, found: Option<usize>, rest: &[u8], then: State) -> (usize, Found) {
        match found {
            Some(at) => {
                self.state = then;
                (at + 1, Found::Nothing)
            }
            None => (rest.len(), Found::Nothing),
        }
    }

    fn outside(&mut self, first: u8) -> Result<(usize, Found), XmlError> {
        let start = matches!(self.state, State::Start | State::Restart);
        self.state = match first {
            b'<' => State::Markup,
            _ if is_space(first) => State::Between,
            // How UTF-16 and UTF-32 begin.
            0x00 | 0xFE | 0xFF if start => return Err(XmlError::UnsupportedEncoding),
            _ if self.in_header => {
                return Err(XmlError::NotWellFormed("text before the stream header"));
            }
            _ => return Err(XmlError::BadFormat("text between elements")),
        };
        Ok((1, Found::Nothing))
    }

    fn markup(&mut self, first: u8) -> Result<(usize, Found), XmlError> {
        self.state = match first {
            b'/' if self.depth > 0 => State::EndTag,
            b'/' if !self.in_header => {
                self.carry = Vec::new();
                State::Footer(0)
            }
            b'!' => State::Bang(0),
            b'?' if self.in_header && self.taken == 1 => State::Question(0),
            b'?' => return Err(XmlError::Restricted("processing instruction")),
            0x00 if self.in_header => return Err(XmlError::UnsupportedEncoding),
            b'/' | b'>' | b'<' | b'"' | b'\'' | 0..=b' ' => {
                return Err(XmlError::NotWellFormed("not a name"));
            }
            _ if self.depth >= self.limits.depth => return Err(XmlError::Limit("depth")),
            _ => {
                self.name_start = self.taken;
                State::StartTag { slash: false }
            }
        };
        Ok((1, Found::Nothing))
    }

    fn start_tag(&mut self, slash: bool, rest: &[u8]) -> Result<(usize, Found), XmlError> {
        let Some(at) = memchr3(b'>', b'"', b'\'', rest) else {
            self.state = State::StartTag {
                slash: rest.last() == Some(&b'/'),
            };
            return Ok((rest.len(), Found::Nothing));
        };
        let empty = at
            .checked_sub(1)
            .map_or(slash, |before| rest.get(before) == Some(&b'/'));
        let mut found = Found::Nothing;
        self.state = match rest.get(at) {
            Some(&quote @ (b'"' | b'\'')) => State::Quoted(quote),
            _ if self.in_header && empty => {
                return Err(XmlError::BadFormat("stream without an inside"));
            }
            _ if self.in_header => {
                self.in_header = false;
                found = Found::Header;
                State::Between
            }
            _ if !empty => {
                self.depth += 1;
                State::Text
            }
            _ if self.depth > 0 => State::Text,
            _ => {
                found = Found::Element;
                State::Between
            }
        };
        Ok((at + 1, found))
    }

    fn end_tag(&mut self, rest: &[u8]) -> (usize, Found) {
        let Some(at) = memchr(b'>', rest) else {
            return (rest.len(), Found::Nothing);
        };
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 {
            self.state = State::Text;
            return (at + 1, Found::Nothing);
        }
        self.state = State::Between;
        (at + 1, Found::Element)
    }

    fn bang(&mut self, seen: usize, first: u8) -> Result<(usize, Found), XmlError> {
        self.state = match (CDATA.get(seen) == Some(&first), seen, first) {
            (true, ..) if seen + 1 < CDATA.len() => State::Bang(seen + 1),
            (true, ..) if self.depth > 0 => State::CData { brackets: 0 },
            (true, ..) => return Err(XmlError::BadFormat("text between elements")),
            (_, 0, b'-') => return Err(XmlError::Restricted("comment")),
            (_, 0, b'A'..=b'Z') => return Err(XmlError::Restricted("DTD")),
            _ => return Err(XmlError::NotWellFormed("malformed markup")),
        };
        Ok((1, Found::Nothing))
    }

    fn cdata(&mut self, brackets: usize, first: u8, rest: &[u8]) -> (usize, Found) {
        let (used, state) = match first {
            b']' => (
                1,
                State::CData {
                    brackets: (brackets + 1).min(2),
                },
            ),
            b'>' if brackets == 2 => (1, State::Text),
            _ => (
                memchr(b']', rest).unwrap_or(rest.len()),
                State::CData { brackets: 0 },
            ),
        };
        self.state = state;
        (used, Found::Nothing)
    }

    fn question(&mut self, seen: usize, first: u8) -> Result<(usize, Found), XmlError> {
        self.state = match XML_TARGET.get(seen) {
            Some(&expected) if expected == first => State::Question(seen + 1),
            None if is_space(first) => State::Declaration { question: false },
            _ => return Err(XmlError::Restricted("processing instruction")),
        };
        Ok((1, Found::Nothing))
    }

    fn declaration(&mut self, question: bool, rest: &[u8]) -> Result<(usize, Found), XmlError> {
        let Some(at) = memchr(b'>', rest) else {
            self.state = State::Declaration {
                question: rest.last() == Some(&b'?'),
            };
            return Ok((rest.len(), Found::Nothing));
        };
        if !at
            .checked_sub(1)
            .map_or(question, |before| rest.get(before) == Some(&b'?'))
        {
            return Err(XmlError::NotWellFormed("malformed XML declaration"));
        }
        self.state = State::Between;
        Ok((at + 1, Found::Nothing))
    }

    fn footer(&mut self, seen: usize, first: u8) -> Result<(usize, Found), XmlError> {
        let name = self.stream_name.as_deref().unwrap_or(USUAL_NAME);
        match name.get(seen) {
            Some(&expected) if expected == first => {
                self.state = State::Footer(seen + 1);
                Ok((1, Found::Nothing))
            }
            None if is_space(first) => Ok((1, Found::Nothing)),
            None if first == b'>' => {
                self.state = State::Ended;
                Ok((1, Found::Footer))
            }
            _ => Err(XmlError::NotWellFormed(
                "end tag does not match the stream header",
            )),
        }
    }
}

const CDATA: &[u8] = b"[CDATA[";
const XML_TARGET: &[u8] = b"xml";
const USUAL_NAME: &[u8] = b"stream:stream";
