//! What reading and writing XML costs: framer in GB per second, reader and writer in µs of CPU per stanza.
//!
//! `cargo bench --bench xml`. CPU time of the thread, so that a busy machine matters little; the best of several rounds.

#![allow(clippy::unwrap_used, missing_docs)]

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use waxwing::xml::{Context, Element, Framer, Limits, parse, write};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// A chat message as clients send it, 400 bytes.
const CHAT: &str = "<message xmlns='jabber:client' to='juliet@capulet.example' type='chat' id='5f3c1b2e-9a77-4d10-8e62-0c4f1d2a' \
                    xml:lang='en'><body>Neither, fair saint, if either thee dislike. I would say so &amp; mean it.</body>\
                    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
                    <markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='5f3c1b2e'/></message>";

/// Nanoseconds of CPU that one call of `work` takes.
fn cost(mut work: impl FnMut()) -> f64 {
    let cpu = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
    };
    let calls = 2000;
    let round = || {
        let start = cpu();
        (0..calls).for_each(|_| work());
        (cpu() - start) / f64::from(calls)
    };
    std::iter::repeat_with(round)
        .take(30)
        .fold(f64::INFINITY, f64::min)
}

fn frame(framer: &mut Framer, mut input: &[u8]) -> usize {
    let mut frames = 0;
    while framer.next(&mut input).unwrap().is_some() {
        frames += 1;
    }
    frames
}

fn report(what: &str, bytes: usize, nanoseconds: f64) {
    println!(
        "{what:32} {:8.3} µs  {:6.3} GB/s  ({bytes} bytes)",
        nanoseconds / 1000.0,
        bytes as f64 / nanoseconds
    );
}

fn main() {
    let limits = Limits::default();
    let mut framer = Framer::new(limits);
    frame(&mut framer, HEADER.as_bytes());
    let batch = CHAT.repeat(20);
    report(
        "framer, 20 chat stanzas",
        batch.len(),
        cost(|| assert_eq!(frame(&mut framer, black_box(batch.as_bytes())), 20)),
    );
    let (first, second) = CHAT.split_at(CHAT.len() / 2);
    let halves = || {
        frame(&mut framer, black_box(first.as_bytes()));
        frame(&mut framer, black_box(second.as_bytes()));
    };
    report("framer, one in two halves", CHAT.len(), cost(halves));

    let context = Context::client();
    let read =
        |xml: &str| -> Element { parse(black_box(xml.as_bytes()), &context, &limits).unwrap() };
    report(
        "read, chat stanza",
        CHAT.len(),
        cost(|| drop(black_box(read(CHAT)))),
    );
    let roster: String = (0..50)
        .map(|n| format!("<item jid='user{n}@example.org' name='User {n}' subscription='both'><group>Friends</group></item>"))
        .collect();
    let roster =
        format!("<iq type='result' id='1'><query xmlns='jabber:iq:roster'>{roster}</query></iq>");
    report(
        "read, roster of 50",
        roster.len(),
        cost(|| drop(black_box(read(&roster)))),
    );
    let text = format!(
        "<message><body>{}</body></message>",
        "Lorem ipsum dolor sit amet. ".repeat(140)
    );
    report(
        "read, long text",
        text.len(),
        cost(|| drop(black_box(read(&text)))),
    );

    let mut out = Vec::new();
    for (what, xml) in [
        ("write, chat stanza", CHAT),
        ("write, roster of 50", &roster),
        ("write, long text", &text),
    ] {
        let el = read(xml);
        let write = || {
            out.clear();
            write::element(black_box(el.root()), "jabber:client", &mut out);
        };
        report(what, xml.len(), cost(write));
    }
    let el = read(CHAT);
    report(
        "clone, chat stanza",
        CHAT.len(),
        cost(|| drop(black_box(el.clone()))),
    );
    println!(
        "a chat stanza of {} bytes takes {} bytes of heap as a tree",
        CHAT.len(),
        el.heap_bytes()
    );
}
