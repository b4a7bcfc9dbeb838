//! The frames of WebSocket clients (RFC 6455 §5), read; no socket, no clock. What the server sends is framed where it is
//! written (`stream::Framing`), but for the control frames, which are made here.

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole text message, however many frames it came in.
    Text(Vec<u8>),
    /// A ping, with what its answer has to hold (§5.5.2).
    Ping(Vec<u8>),
    /// An answer to a ping, which needs none.
    Pong,
    /// The client closes the connection (§5.5.1).
    Close,
}

/// What a client must not send; each is one status code (§7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not masked, reserved bits, unknown kinds, lengths that could be shorter, fragments where there can be none.
    #[error("broken WebSocket frames")]
    Protocol,
    /// A binary message (RFC 7395 §3.2).
    #[error("a binary WebSocket message")]
    Binary,
    /// A longer message than is allowed.
    #[error("too long a WebSocket message")]
    TooLarge,
}

impl Fault {
    /// Its status code.
    pub fn code(self) -> u16 {
        match self {
            Fault::Protocol => 1002,
            Fault::Binary => 1003,
            Fault::TooLarge => 1009,
        }
    }
}

/// Puts the frames of one client together. It holds memory only while a message is incomplete.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a frame whose head is incomplete.
    head: [u8; HEAD],
    head_bytes: usize,
    frame: Option<Frame>,
    /// The text message so far, and whether more frames of it come.
    message: Vec<u8>,
    fragmented: bool,
    control: Vec<u8>,
}

/// A frame whose payload is coming.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    last: bool,
    left: usize,
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Continuation,
    Text,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn is_control(self) -> bool {
        matches!(self, Kind::Close | Kind::Ping | Kind::Pong)
    }
}

/// Longest head of a frame: two bytes, eight of length, four of the mask.
const HEAD: usize = 14;
/// Longest payload of a control frame (§5.5).
const CONTROL: u64 = 125;

impl Decoder {
    /// Takes bytes from the front of `input` until a message is complete; `None` when they are used up before. A text
    /// message has `most` bytes at most.
    ///
    /// # Errors
    /// What must end the connection.
    pub fn next(&mut self, input: &mut &[u8], most: usize) -> Result<Option<Message>, Fault> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let Some(frame) = self.begin(input, most)? else {
                        return Ok(None);
                    };
                    frame
                }
            };
            self.frame = self.payload(frame, input);
            if self.frame.is_some() {
                return Ok(None);
            }
            if let Some(message) = self.end(frame) {
                return Ok(Some(message));
            }
        }
    }

    /// Reads the head of a frame; `None` if it is not complete yet.
    fn begin(&mut self, input: &mut &[u8], most: usize) -> Result<Option<Frame>, Fault> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            if let Some(place) = self.head.get_mut(self.head_bytes) {
                *place = *byte;
            }
            self.head_bytes += 1;
            if let Some(frame) = self.head(most)? {
                self.head_bytes = 0;
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The head, if it is complete; refused as soon as something in it is wrong.
    fn head(&self, most: usize) -> Result<Option<Frame>, Fault> {
        let head = self.head.get(..self.head_bytes).unwrap_or_default();
        let Some((&first, rest)) = head.split_first() else {
            return Ok(None);
        };
        let (last, kind) = (first & 0x80 != 0, self.kind(first)?);
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(Fault::Protocol);
        }
        let (length, mask) = match (second & 0x7f, rest) {
            (126, [a, b, mask @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), mask),
            (127, [a, b, c, d, e, f, g, h, mask @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), mask)
            }
            (126 | 127, _) => return Ok(None),
            (short, mask) => (u64::from(short), mask),
        };
        let shortest = match second & 0x7f {
            126 => length > 125,
            127 => length > 0xffff && length >> 63 == 0,
            _ => true,
        };
        if !shortest || kind.is_control() && (length > CONTROL || !last) {
            return Err(Fault::Protocol);
        }
        let left = usize::try_from(length).map_err(|_| Fault::TooLarge)?;
        if !kind.is_control() && left > most.saturating_sub(self.message.len()) {
            return Err(Fault::TooLarge);
        }
        let mask = mask.first_chunk::<4>().copied();
        Ok(mask.map(|mask| Frame {
            kind,
            last,
            left,
            mask,
        }))
    }

    /// What kind of frame it is, and that it may come now.
    fn kind(&self, first: u8) -> Result<Kind, Fault> {
        if first & 0x70 != 0 {
            return Err(Fault::Protocol);
        }
        match (first & 0x0f, self.fragmented) {
            (0, true) => Ok(Kind::Continuation),
            (1, false) => Ok(Kind::Text),
            (2, false) => Err(Fault::Binary),
            (8, _) => Ok(Kind::Close),
            (9, _) => Ok(Kind::Ping),
            (10, _) => Ok(Kind::Pong),
            _ => Err(Fault::Protocol),
        }
    }

    /// Takes what there is of a payload; the frame, if that is not all.
    fn payload(&mut self, mut frame: Frame, input: &mut &[u8]) -> Option<Frame> {
        let (piece, rest) = input.split_at_checked(frame.left).unwrap_or((input, &[]));
        *input = rest;
        let into = match frame.kind.is_control() {
            true => &mut self.control,
            false => &mut self.message,
        };
        let start = into.len();
        into.extend_from_slice(piece);
        let masked = into.get_mut(start..).unwrap_or_default();
        for four in masked.chunks_mut(4) {
            for (byte, mask) in four.iter_mut().zip(frame.mask) {
                *byte ^= mask;
            }
        }
        frame.mask.rotate_left(piece.len() % 4);
        frame.left -= piece.len();
        (frame.left > 0).then_some(frame)
    }

    /// A frame is complete: what comes of it, if it is the last of its message.
    fn end(&mut self, frame: Frame) -> Option<Message> {
        match frame.kind {
            Kind::Ping => Some(Message::Ping(std::mem::take(&mut self.control))),
            Kind::Pong => {
                self.control = Vec::new();
                Some(Message::Pong)
            }
            Kind::Close => Some(Message::Close),
            Kind::Text | Kind::Continuation => {
                self.fragmented = !frame.last;
                frame
                    .last
                    .then(|| Message::Text(std::mem::take(&mut self.message)))
            }
        }
    }
}

/// The answer to a ping (§5.5.3).
pub fn pong(payload: &[u8]) -> Vec<u8> {
    control(0x8a, payload)
}

/// The end of the connection, and why (§5.5.1).
pub fn close(code: u16) -> Vec<u8> {
    control(0x88, &code.to_be_bytes())
}

fn control(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    let mut frame = vec![kind, length];
    frame.extend_from_slice(payload.get(..usize::from(length)).unwrap_or_default());
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// A frame as clients make it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..=125 => bytes.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ mask[at % 4]),
        );
        bytes
    }

    /// Everything that comes of these bytes, given in pieces of so many.
    fn run(bytes: &[u8], piece: usize, most: usize) -> Result<Vec<Message>, Fault> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for mut piece in bytes.chunks(piece.max(1)) {
            while let Some(message) = decoder.next(&mut piece, most)? {
                messages.push(message);
            }
            assert!(piece.is_empty());
        }
        Ok(messages)
    }

    fn text(text: &str) -> Message {
        Message::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn frames_become_messages_however_they_arrive() {
        let long = "x".repeat(70_000);
        let bytes = [
            frame(0x81, b"<a/>"),
            frame(0x01, b"<b>"),
            frame(0x89, b"here?"),
            frame(0x00, b""),
            frame(0x80, b"</b>"),
            frame(0x81, b""),
            frame(0x8a, b"late"),
            frame(0x81, &long.as_bytes()[..300]),
            frame(0x81, long.as_bytes()),
            frame(0x88, &1000u16.to_be_bytes()),
        ]
        .concat();
        let expected = vec![
            text("<a/>"),
            Message::Ping(b"here?".to_vec()),
            text("<b></b>"),
            text(""),
            Message::Pong,
            text(&long[..300]),
            text(&long),
            Message::Close,
        ];
        for piece in [1, 2, 3, 7, 1000, bytes.len()] {
            assert_eq!(run(&bytes, piece, 100_000).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let mut decoder = Decoder::default();
        let bytes = [frame(0x81, b"<a/>"), frame(0x8a, b"pong")].concat();
        let mut input = bytes.as_slice();
        while decoder.next(&mut input, 100).unwrap().is_some() {}
        assert_eq!(
            (decoder.message.capacity(), decoder.control.capacity()),
            (0, 0)
        );
    }

    #[test]
    fn what_must_not_be_sent() {
        let unmasked = vec![0x81, 0x01, b'x'];
        let stretched = vec![0x81, 0xfe, 0, 125, 0, 0, 0, 0];
        let stretched_more = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
        let negative = vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
        for (bytes, fault) in [
            (unmasked, Fault::Protocol),
            (stretched, Fault::Protocol),
            (stretched_more, Fault::Protocol),
            (frame(0xc1, b"x"), Fault::Protocol),
            (frame(0x91, b"x"), Fault::Protocol),
            (frame(0x83, b"x"), Fault::Protocol),
            (frame(0x8b, b"x"), Fault::Protocol),
            (frame(0x80, b"x"), Fault::Protocol),
            (frame(0x09, b"x"), Fault::Protocol),
            (frame(0x89, &[0; 126]), Fault::Protocol),
            (
                [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
                Fault::Protocol,
            ),
            (negative, Fault::Protocol),
            (frame(0x82, b"x"), Fault::Binary),
            (frame(0x81, &[b'x'; 101]), Fault::TooLarge),
            (
                [frame(0x01, &[b'x'; 60]), frame(0x80, &[b'x'; 41])].concat(),
                Fault::TooLarge,
            ),
            // Refused by what it says, not when it has come.
            (vec![0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0], Fault::TooLarge),
        ] {
            assert_eq!(run(&bytes, 1, 100), Err(fault), "{bytes:x?}");
        }
    }

    #[test]
    fn control_frames_of_ours() {
        assert_eq!(pong(b"abc"), [0x8a, 3, b'a', b'b', b'c']);
        assert_eq!(close(1009), [0x88, 2, 3, 241]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_allowed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            let mut input = bytes.as_slice();
            while let Ok(Some(_)) = decoder.next(&mut input, 64) {}
            prop_assert!(decoder.message.len() <= 64 && decoder.control.len() <= 125);
        }
    }
}
