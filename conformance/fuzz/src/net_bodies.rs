//! What must hold for any bytes of the network below XML.

use super::net::websocket::{Decoder, Fault, Message};

/// Target `websocket`: the first byte chooses how long a message may be, the second how the others, frames, are cut into
/// chunks. What comes of them does not depend on that, and is never longer than allowed.
pub fn websocket(data: &[u8]) {
    let [most, chunk, frames @ ..] = data else {
        return;
    };
    let most = usize::from(*most);
    let whole = run(frames, frames.len().max(1), most);
    let pieces = run(frames, usize::from(*chunk).max(1), most);
    assert_eq!(whole, pieces);
    for message in whole.0 {
        match message {
            Message::Text(text) => assert!(text.len() <= most),
            Message::Ping(payload) => assert!(payload.len() <= 125),
            Message::Pong | Message::Close => {}
        }
    }
}

/// The messages, and the fault that ended them.
fn run(frames: &[u8], chunk: usize, most: usize) -> (Vec<Message>, Option<Fault>) {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for mut input in frames.chunks(chunk) {
        loop {
            match decoder.next(&mut input, most) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}
