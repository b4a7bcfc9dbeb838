//! Inputs that must be refused, each with the error it must give (RFC 6120 §11, XML 1.0, Namespaces in XML).

use super::*;
use XmlError::{
    BadFormat, BadPrefix, InvalidNamespace, Limit, NotWellFormed, Restricted, TooLarge,
    UnsupportedEncoding,
};

/// What kind of error, without its text.
fn kind(error: XmlError) -> XmlError {
    match error {
        NotWellFormed(_) => NotWellFormed(""),
        Restricted(_) => Restricted(""),
        BadFormat(_) => BadFormat(""),
        other => other,
    }
}

const ILL: XmlError = NotWellFormed("");
const PROHIBITED: XmlError = Restricted("");

const ELEMENTS: &[(&str, XmlError)] = &[
    // What RFC 6120 §11.1 prohibits
    ("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", PROHIBITED),
    ("<a><!DOCTYPE b></a>", PROHIBITED),
    ("<a><!-- c --></a>", PROHIBITED),
    ("<a/><!-- c -->", ILL),
    ("<a><?pi x?></a>", PROHIBITED),
    ("<?xml version='1.0'?><a/>", PROHIBITED),
    ("<a><?xml version='1.0'?></a>", PROHIBITED),
    ("<a>&foo;</a>", PROHIBITED),
    ("<a b='&foo;'/>", PROHIBITED),
    // Characters (XML 1.0 §2.2)
    ("<a>\u{1}</a>", ILL),
    ("<a b='\u{1}'/>", ILL),
    ("<a><![CDATA[\u{0}]]></a>", ILL),
    ("<a>\u{FFFF}</a>", ILL),
    ("<a>\u{FFFE}</a>", ILL),
    ("<a>&#1;</a>", ILL),
    ("<a>&#0;</a>", ILL),
    ("<a>&#xFFFE;</a>", ILL),
    ("<a>&#xD800;</a>", ILL),
    ("<a>&#x110000;</a>", ILL),
    ("<a>&#99999999999;</a>", ILL),
    ("<a b='&#x1F;'/>", ILL),
    // References (§4.1)
    ("<a>&</a>", ILL),
    ("<a>&amp</a>", ILL),
    ("<a>&;</a>", ILL),
    ("<a>& amp;</a>", ILL),
    ("<a>&#;</a>", ILL),
    ("<a>&#x;</a>", ILL),
    ("<a>&#X41;</a>", ILL),
    ("<a>&#+65;</a>", ILL),
    ("<a>&#-65;</a>", ILL),
    ("<a>&#6 5;</a>", ILL),
    ("<a b='&'/>", ILL),
    ("<a b='&amp'/>", ILL),
    ("<a b='&#x+41;'/>", ILL),
    // Names (§2.3, Namespaces §4)
    ("<1a/>", ILL),
    ("<-a/>", ILL),
    ("< a/>", ILL),
    ("<a:b:c xmlns:a='x'/>", ILL),
    ("<a: xmlns:a='x'/>", ILL),
    ("<:a/>", ILL),
    ("<a<b/>", ILL),
    ("<a/b/>", ILL),
    ("<a/ >", ILL),
    ("<a / >", ILL),
    ("<a 1b='x'/>", ILL),
    ("<a b:c:d='x' xmlns:b='y'/>", ILL),
    ("<a b\u{D7}='x'/>", ILL),
    ("<a\u{2028}b/>", ILL),
    ("<>x</>", ILL),
    // Attributes (§3.1)
    ("<a b='1'c='2'/>", ILL),
    ("<a b='1' b='2'/>", ILL),
    ("<a b=1/>", ILL),
    ("<a b/>", ILL),
    ("<a b=/>", ILL),
    ("<a ='1'/>", ILL),
    ("<a b='<'/>", ILL),
    ("<a b='1/>", ILL),
    ("<a b='1\"/>", ILL),
    ("<a b = = '1'/>", ILL),
    ("<a b c='1'/>", ILL),
    ("<a 'b'='1'/>", ILL),
    ("<a\u{A0}b='1'/>", ILL),
    // Namespaces
    ("<p:a/>", ILL),
    ("<a p:b='1'/>", ILL),
    ("<a><b xmlns:p='x'/><p:c/></a>", ILL),
    ("<a xmlns:p='x' xmlns:q='x' p:b='1' q:b='2'/>", ILL),
    ("<a xmlns='x' xmlns='y'/>", ILL),
    ("<a xmlns:p='x' xmlns:p='y'/>", ILL),
    ("<a xmlns:p=''/>", ILL),
    ("<a xmlns:xml='x'/>", ILL),
    ("<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", ILL),
    ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", ILL),
    ("<a xmlns='http://www.w3.org/XML/1998/namespace'/>", ILL),
    ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", ILL),
    ("<a xmlns:p='&#104;ttp://www.w3.org/2000/xmlns/'/>", ILL),
    ("<xmlns:a/>", ILL),
    ("<a xmlns:='x'/>", ILL),
    ("<a xmlns:1='x'/>", ILL),
    ("<a xmlns:b:c='x'/>", ILL),
    // Text and CDATA (§2.4, §2.7)
    ("<a>]]></a>", ILL),
    ("<a>]]]></a>", ILL),
    ("<a><![CDATA[x]]>]]></a>", ILL),
    ("<a><![cdata[x]]></a>", ILL),
    ("<a><![CDATA[x]]</a>", ILL),
    ("<![CDATA[x]]>", ILL),
    ("<a><![INCLUDE[x]]></a>", ILL),
    // One element, to the last byte
    ("", ILL),
    (" <a/>", ILL),
    ("<a/> ", ILL),
    ("<a/>x", ILL),
    ("<a/><b/>", ILL),
    ("<a></a></a>", ILL),
    ("x<a/>", ILL),
    ("\u{FEFF}<a/>", ILL),
    ("<a>", ILL),
    ("<a", ILL),
    ("<", ILL),
    ("</a>", ILL),
    ("<a></b>", ILL),
    ("<a></A>", ILL),
    ("<a></ a>", ILL),
    ("<a></a b='1'>", ILL),
    ("<a></a/>", ILL),
    ("<a><b></a></b>", ILL),
    ("<a xmlns:p='x' xmlns:q='x'><p:b></q:b></a>", ILL),
    ("<a>x", ILL),
];

#[test]
fn hostile_elements_are_refused() {
    for (xml, expected) in ELEMENTS {
        assert_eq!(read(xml).map_err(kind), Err(*expected), "{xml}");
    }
    for bytes in [
        &b"<a>\xFF</a>"[..],
        b"<a>\xC0\xAF</a>",
        b"<a>\xED\xA0\x80</a>",
        b"<a b='\xE2\x82'/>",
        b"<a>\xF4\x90\x80\x80</a>",
    ] {
        assert_eq!(
            parse(bytes, &Context::client(), &Limits::default()),
            Err(UnsupportedEncoding),
            "{bytes:?}"
        );
    }
}

/// What comes on a stream and is known to be wrong before an element is complete.
const STREAMS_REFUSED: &[(&str, &str, XmlError)] = &[
    (HEADER, "x", BadFormat("")),
    (HEADER, "&amp;", BadFormat("")),
    (HEADER, "<![CDATA[", BadFormat("")),
    (HEADER, "<!D", PROHIBITED),
    (HEADER, "<!-", PROHIBITED),
    (HEADER, "<?", PROHIBITED),
    (HEADER, "<a><!-", PROHIBITED),
    (HEADER, "<a><!E", PROHIBITED),
    (HEADER, "<a><?", PROHIBITED),
    (HEADER, "<a><![CDX", ILL),
    (HEADER, "< ", ILL),
    (HEADER, "<>", ILL),
    (HEADER, "<<", ILL),
    (HEADER, "</stream>", ILL),
    (HEADER, "</stream:streams>", ILL),
    (HEADER, "</ stream:stream>", ILL),
    (HEADER, "</stream:stream x>", ILL),
    (HEADER, "</stream:stream><a/>", ILL),
    (HEADER, "<?xml version='1.0'?>", PROHIBITED),
    ("", "\u{FEFF}<stream:stream", ILL),
    ("", "GET / HTTP/1.1", ILL),
    ("", "\u{0}<", UnsupportedEncoding),
    ("", "<\u{0}", UnsupportedEncoding),
    ("", " <?xml version='1.0'?>", PROHIBITED),
    ("", "<?xml-stylesheet ", PROHIBITED),
    ("", "<?php ", PROHIBITED),
    ("", "<?xml version='1.0'>", ILL),
    ("", "<?xml version='1.0'?><?", PROHIBITED),
    ("", "<?xml version='1.0'?>x", ILL),
    ("", "<?xml version='1.0'?></", ILL),
    ("", "<!DOCTYPE", PROHIBITED),
    ("", "<!-- ", PROHIBITED),
    ("", "<stream:stream/>", BadFormat("")),
];

#[test]
fn hostile_streams_are_refused_at_once() {
    for (before, xml, expected) in STREAMS_REFUSED {
        let whole = format!("{before}{xml}");
        for step in [1, 2, whole.len()] {
            let mut framer = Framer::new(Limits::default());
            let refused = whole.as_bytes().chunks(step).find_map(|mut chunk| {
                while !chunk.is_empty() {
                    if let Err(error) = framer.next(&mut chunk) {
                        return Some(error);
                    }
                }
                None
            });
            assert_eq!(refused.map(kind), Some(*expected), "{whole}");
            assert_eq!(
                framer.next(&mut &b"<a/>"[..]),
                Err(refused.unwrap()),
                "an error stays"
            );
        }
    }
}

const HEADERS_REFUSED: &[(&str, XmlError)] = &[
    ("<?xml version='1.1'?>", ILL),
    ("<?xml?>", ILL),
    ("<?xml encoding='utf-8'?>", ILL),
    (
        "<?xml version='1.0' encoding='iso-8859-1'?>",
        UnsupportedEncoding,
    ),
    (
        "<?xml version='1.0' encoding='UTF-16'?>",
        UnsupportedEncoding,
    ),
    ("<?xml version='1.0' standalone='no'?>", PROHIBITED),
    ("<?xml version='1.0' standalone='maybe'?>", ILL),
    (
        "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
        ILL,
    ),
    ("<?xml version='1.0'encoding='utf-8'?>", ILL),
    ("<?xml version='1.0' version='1.0'?>", ILL),
    ("<?xml version='1.0' x='1'?>", ILL),
    ("<?xml version='1.0'?><?xml version='1.0'?>", ILL),
    (" <?xml version='1.0'?>", ILL),
    ("x", ILL),
];

#[test]
fn hostile_headers_are_refused() {
    let limits = Limits::default();
    let header = |xml: &str| {
        parse_header(xml.as_bytes(), &limits)
            .map(|_| ())
            .map_err(kind)
    };
    let root =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    assert_eq!(header(root), Ok(()));
    for (start, expected) in HEADERS_REFUSED {
        assert_eq!(header(&format!("{start}{root}")), Err(*expected), "{start}");
    }
    for (xml, expected) in [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://wrong.example/'>",
            InvalidNamespace,
        ),
        (
            "<stream:stream xmlns='jabber:other' xmlns:stream='http://etherx.jabber.org/streams'>",
            InvalidNamespace,
        ),
        (
            "<stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            BadPrefix,
        ),
        (
            "<stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            BadFormat(""),
        ),
        ("<stream:stream xmlns='jabber:client'>", ILL),
        (
            "<stream:stream to='a' to='b' xmlns:stream='http://etherx.jabber.org/streams'>",
            ILL,
        ),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>",
            ILL,
        ),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'><a>",
            ILL,
        ),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'> ",
            ILL,
        ),
    ] {
        assert_eq!(header(xml), Err(expected), "{xml}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits {
        depth: 3,
        attributes: 2,
        namespaces: 2,
        name_bytes: 5,
        ..Limits::new(100)
    };
    let read = |xml: &str| parse(xml.as_bytes(), &Context::client(), &limits).map(|_| ());
    assert_eq!(read("<a><b><c/></b></a>"), Ok(()));
    assert_eq!(read("<a><b><c><d/></c></b></a>"), Err(Limit("depth")));
    assert_eq!(read("<a b='1' c='2'/>"), Ok(()));
    assert_eq!(read("<a b='1' c='2' xmlns='d'/>"), Err(Limit("attributes")));
    assert_eq!(
        read("<a xmlns='1'><b xmlns='2'/><c xmlns='3'/></a>"),
        Ok(())
    );
    assert_eq!(
        read("<a xmlns='1'><b xmlns='2'><c xmlns='3'/></b></a>"),
        Err(Limit("namespace declarations"))
    );
    assert_eq!(read("<abcde/>"), Ok(()));
    assert_eq!(read("<abcdef/>"), Err(Limit("name length")));
    assert_eq!(read("<a abcdef=''/>"), Err(Limit("name length")));
    assert_eq!(read(&format!("<a>{}</a>", "x".repeat(93))), Ok(()));
    assert_eq!(
        read(&format!("<a>{}</a>", "x".repeat(94))),
        Err(TooLarge { limit: 100 })
    );
}

#[test]
fn a_tree_stays_in_proportion_to_its_bytes() {
    let limits = Limits::default();
    let check = |xml: String| {
        let outcome = read(&xml);
        if let Ok(el) = &outcome {
            assert!(
                el.heap_bytes() <= limits.parsed_factor * xml.len() + 8192,
                "{} from {}",
                el.heap_bytes(),
                xml.len()
            );
            assert!(written(el).len() <= 16 * xml.len() + 8192);
        }
        outcome.map(|_| ())
    };
    let many = |piece: &str| {
        format!(
            "<a xmlns:p='urn:x'>{}</a>",
            piece.repeat(200_000 / piece.len())
        )
    };
    for ordinary in [
        "<b/>",
        "<b c='d'/>",
        "<b>1</b>",
        "<b>&amp;</b>",
        "text",
        "&amp;",
        "<p:b/>x",
    ] {
        assert_eq!(check(many(ordinary)), Ok(()), "{ordinary}");
    }
    let names: String = (0..30_000).map(|n| format!("<b{n}/>")).collect();
    assert_eq!(
        check(format!("<a>{names}</a>")),
        Err(Limit("size of the tree"))
    );
    // Each of these children would have to declare the long namespace when written.
    let long = "u".repeat(10_000);
    let amplified = format!("<a xmlns:p='{long}'>{}</a>", "<p:b/>".repeat(10_000));
    assert_eq!(
        check(amplified),
        Err(Limit("namespace declarations to write"))
    );
    let amplified = format!("<a xmlns:p='{long}'>{}</a>", "<b p:c=''/>".repeat(10_000));
    assert_eq!(
        check(amplified),
        Err(Limit("namespace declarations to write"))
    );
}
