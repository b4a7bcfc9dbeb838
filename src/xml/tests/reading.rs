//! What is read, and how it is written again.

use super::*;

#[test]
fn an_ordinary_stanza_is_read_and_written() {
    let xml = "<message to='b@a.example' from='c@a.example/x' type='chat' id='1' xml:lang='en'><body>Hi &amp; bye &lt;3</body>\
               <active xmlns='http://jabber.org/protocol/chatstates'/></message>";
    let el = read(xml).unwrap();
    assert!(el.is("message", "jabber:client"));
    assert_eq!(el.attr("to"), Some("b@a.example"));
    assert_eq!(el.attr("xml:lang"), Some("en"));
    assert_eq!(
        el.child("body", "jabber:client").unwrap().text(),
        "Hi & bye <3"
    );
    assert!(el.has_child("active", "http://jabber.org/protocol/chatstates"));
    assert_eq!(written(&el), xml);
}

#[test]
fn a_stream_is_cut_and_read() {
    let stream = format!("{HEADER} <presence/>\n<message><body>x</body></message></stream:stream>");
    let mut framer = Framer::new(Limits::default());
    let mut input = stream.as_bytes();
    let Some(Frame::Header(bytes)) = framer.next(&mut input).unwrap() else {
        panic!("no header")
    };
    let header = parse_header(bytes, &Limits::default()).unwrap();
    assert_eq!(header.element.attr("to"), Some("a.example"));
    assert_eq!(
        framer.next(&mut input),
        Ok(Some(Frame::Element(b"<presence/>")))
    );
    assert_eq!(
        framer.next(&mut input),
        Ok(Some(Frame::Element(b"<message><body>x</body></message>")))
    );
    assert_eq!(framer.next(&mut input), Ok(Some(Frame::Footer)));
    assert_eq!(framer.next(&mut input), Ok(None));
}

#[test]
fn white_space_before_a_restarted_stream_belongs_to_the_one_before() {
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let stream = format!(" \r\n{header}");
    for split in 0..stream.len() {
        let mut framer = Framer::new(Limits::default());
        framer.restart();
        let (mut first, mut second) = stream.as_bytes().split_at(split);
        assert_eq!(framer.next(&mut first), Ok(None));
        assert_eq!(
            framer.next(&mut second),
            Ok(Some(Frame::Header(header.as_bytes())))
        );
    }
    let mut first_of_all = Framer::new(Limits::default());
    assert!(first_of_all.next(&mut stream.as_bytes()).is_err());
}
