//! What is written, and what can be done with trees.

use super::*;

#[test]
fn namespaces_are_declared_where_they_differ() {
    for (xml, expected) in [
        (
            "<a xmlns:p='urn:p'><p:b><p:c/></p:b><d/></a>",
            "<a><b xmlns='urn:p'><c/></b><d/></a>",
        ),
        (
            "<a xmlns=''><b xmlns='urn:b'><c xmlns=''/></b></a>",
            "<a xmlns=''><b xmlns='urn:b'><c xmlns=''/></b></a>",
        ),
        ("<p:a xmlns:p='jabber:client'/>", "<a/>"),
        (
            "<a xmlns:p='urn:p' p:b='1'/>",
            "<a xmlns:p='urn:p' p:b='1'/>",
        ),
        (
            "<a xmlns:p='urn:p'><b p:c='1' p:d='2'/></a>",
            "<a><b xmlns:p='urn:p' p:c='1' p:d='2'/></a>",
        ),
        (
            "<a xml:lang='en' lang='de'/>",
            "<a xml:lang='en' lang='de'/>",
        ),
        ("<xml:a><b/></xml:a>", "<xml:a><b/></xml:a>"),
        (
            "<a><xml:b xmlns='urn:x'><c/></xml:b></a>",
            "<a><xml:b><c xmlns='urn:x'/></xml:b></a>",
        ),
        (
            "<a p:b='1' xmlns:p='urn:p'><b p:b='1' xmlns:p='urn:q'/></a>",
            "<a xmlns:p='urn:p' p:b='1'><b xmlns:p='urn:q' p:b='1'/></a>",
        ),
    ] {
        assert_eq!(rewritten(xml), expected);
    }
}

#[test]
fn prefixes_that_are_taken_are_not_used() {
    let mut tree = TreeBuilder::new();
    tree.open("a", "", "");
    tree.attr("b", "urn:1", "p", "1");
    tree.attr("c", "urn:2", "p", "2");
    tree.attr("d", "urn:3", "", "3");
    tree.attr("e", "urn:4", "xmlns", "4");
    tree.attr("f", "urn:5", "xml", "5");
    tree.attr("g", "urn:6", "not a prefix", "6");
    tree.close();
    let tree = tree.finish().unwrap();
    assert_eq!(read(&written(&tree)).unwrap(), tree);
}

#[test]
fn white_space_survives_where_xml_keeps_it() {
    for (xml, text) in [
        ("<a>&#13;\n&#x9;</a>", "\r\n\t"),
        ("<a>1\r\n2\r3\n4\r\r\n5</a>", "1\n2\n3\n4\n\n5"),
        ("<a>1\r<![CDATA[\n2\r\n]]>\r&#10;</a>", "1\n\n2\n\n\n"),
        ("<a>\u{85}\u{2028}</a>", "\u{85}\u{2028}"),
    ] {
        let el = read(xml).unwrap();
        assert_eq!(el.text(), text, "{xml:?}");
        assert_eq!(read(&written(&el)).unwrap(), el);
    }
    let el = read("<a b='1\r\n2\r3\n4\t5&#13;&#10;&#9;6'/>").unwrap();
    assert_eq!(el.attr("b"), Some("1 2 3 4 5\r\n\t6"));
    assert_eq!(written(&el), "<a b='1 2 3 4 5&#13;&#10;&#9;6'/>");
}

#[test]
fn what_xml_cannot_carry_is_replaced() {
    let el = Element::new("a", "jabber:client")
        .with_attr("b", "\0\u{FFFE}")
        .with_text("x\u{1}\u{FFFF}\u{FF3D}]]>");
    assert_eq!(
        written(&el),
        "<a b='\u{FFFD}\u{FFFD}'>x\u{FFFD}\u{FFFD}\u{FF3D}]]&gt;</a>"
    );
}

#[test]
fn streams_between_servers_are_read_as_client_streams() {
    for (ns, content) in [
        ("jabber:server", StreamContent::Server),
        ("jabber:component:accept", StreamContent::Component),
    ] {
        let header = format!(
            "<stream:stream xmlns='{ns}' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>"
        );
        let header = parse_header(header.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(header.context.content(), content);
        let read = |xml: &str| parse(xml.as_bytes(), &header.context, &Limits::default());
        let el = read(&format!(
            "<message><body/><x xmlns='urn:x'><message xmlns='{ns}'/></x></message>"
        ))
        .unwrap();
        assert_eq!(
            el.root(),
            rewritten_tree(
                "<message><body/><x xmlns='urn:x'><message xmlns='jabber:client'/></x></message>"
            )
            .root()
        );
        assert_eq!(
            written(&read("<db:result from='a'/>").unwrap()),
            "<result xmlns='jabber:server:dialback' from='a'/>"
        );
        assert_eq!(
            read("<message xmlns='jabber:client'/>"),
            Err(XmlError::InvalidNamespace)
        );
    }
}

fn rewritten_tree(xml: &str) -> Element {
    read(&rewritten(xml)).unwrap()
}

#[test]
fn header_namespaces_hold_for_elements_and_never_leave_undeclared() {
    let read = |header: &str, xml: &str| {
        let context = parse_header(header.as_bytes(), &Limits::default())
            .unwrap()
            .context;
        parse(xml.as_bytes(), &context, &Limits::default())
    };
    let usual = "<?xml version='1.0' encoding='Utf-8' ?>\n<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
    assert_eq!(
        written(&read(usual, "<stream:error/>").unwrap()),
        "<error xmlns='http://etherx.jabber.org/streams'/>"
    );
    let own = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:p='urn:p'>";
    assert_eq!(
        written(&read(own, "<message p:a='1'><p:b/></message>").unwrap()),
        "<message xmlns:p='urn:p' p:a='1'><b xmlns='urn:p'/></message>"
    );
    let prefix_free = "<stream xmlns='http://etherx.jabber.org/streams'>";
    assert_eq!(
        written(&read(prefix_free, "<message xmlns='jabber:client'/>").unwrap()),
        "<message/>"
    );
    assert_eq!(
        written(&read(prefix_free, "<features/>").unwrap()),
        "<features xmlns='http://etherx.jabber.org/streams'/>"
    );
    assert!(read(prefix_free, "<stream:features/>").is_err());
    let context = parse_header(usual.as_bytes(), &Limits::default())
        .unwrap()
        .context;
    assert!(size_of_val(&context) <= 24, "small when idle");
}

#[test]
fn trees_are_changed_at_the_root() {
    let mut el = Element::new("iq", "jabber:client")
        .with_attr("type", "get")
        .with_child(
            Element::new("a", "urn:a")
                .with_attr("x", "1")
                .with_text("t"),
        )
        .with_text("mid")
        .with_children([Element::new("b", "urn:b"), Element::new("a", "urn:a")])
        .with_attr("id", "1")
        .with_attr("xml:lang", "en");
    let xml = "<iq type='get' id='1' xml:lang='en'><a xmlns='urn:a' x='1'>t</a>mid<b xmlns='urn:b'/><a xmlns='urn:a'/></iq>";
    assert_eq!(written(&el), xml);
    assert_eq!(read(xml).unwrap(), el);
    assert_eq!(el.clone().attrs().count(), 3);
    el.set_attr("type", Some("result"));
    el.set_attr("id", None);
    el.set_attr("none", None);
    assert!(el.retain_children(|child| !child.is("a", "urn:a")));
    assert!(!el.retain_children(|_| true));
    assert_eq!(
        written(&el),
        "<iq type='result' xml:lang='en'>mid<b xmlns='urn:b'/></iq>"
    );
    assert_eq!(el.attr("xml:lang"), Some("en"));
    assert_eq!(el.attr_ns("lang", XML), Some("en"));
    let mut out = Vec::new();
    write::contents(el.root(), "urn:b", &mut out);
    assert_eq!(out, b"mid<b/>");
    assert_eq!(
        format!("{el:?}"),
        "<iq xmlns='jabber:client' type='result' xml:lang='en'>mid<b xmlns='urn:b'/></iq>"
    );
}

#[test]
fn equality_is_that_of_xml() {
    let same = |a: &str, b: &str| read(a).unwrap() == read(b).unwrap();
    assert!(same("<a x='1' y='2'/>", "<a y='2' x='1'></a>"));
    assert!(same(
        "<p:a xmlns:p='jabber:client'>x&amp;y</p:a>",
        "<a>x<![CDATA[&]]>y</a>"
    ));
    assert!(!same("<a x='1' y='2'/>", "<a x='2' y='1'/>"));
    assert!(!same("<a><b/>x</a>", "<a>x<b/></a>"));
    assert!(!same("<a><b/><c/></a>", "<a><b><c/></b></a>"));
    assert!(!same("<a xmlns='x'/>", "<a xmlns='y'/>"));
    assert!(!same("<a/>", "<a>x</a>"));
    let pieces = Element::new("a", "jabber:client")
        .with_text("x")
        .with_text("y");
    assert_eq!(pieces, read("<a>xy</a>").unwrap());
    assert_eq!(pieces.text(), "xy");
}

#[test]
fn wrong_building_fails_at_the_end() {
    let build = |steps: &dyn Fn(&mut TreeBuilder)| {
        let mut tree = TreeBuilder::new();
        steps(&mut tree);
        tree.finish().is_ok()
    };
    assert!(build(&|t| {
        t.open("a", "", "");
        t.close();
    }));
    assert!(!build(&|_| {}));
    assert!(!build(&|t| t.open("a", "", "")));
    assert!(!build(&|t| {
        t.open("a b", "", "");
        t.close();
    }));
    assert!(!build(&|t| {
        t.open("a", "", "");
        t.attr("xmlns", "", "", "x");
        t.close();
    }));
    assert!(!build(&|t| {
        t.open("a", "", "");
        t.text("x");
        t.attr("b", "", "", "x");
        t.close();
    }));
    assert!(!build(&|t| {
        t.open("a", "", "");
        t.attr("b", "u", "p", "x");
        t.attr("b", "u", "q", "y");
        t.close();
    }));
    assert!(!build(&|t| {
        t.open("a", "", "");
        t.close();
        t.open("b", "", "");
        t.close();
    }));
    assert!(!build(&|t| {
        t.open("a", "", "");
        t.close();
        t.close();
    }));
}

#[test]
fn nothing_recurses_and_nothing_is_quadratic() {
    let deep = 300_000;
    let mut tree = TreeBuilder::new();
    (0..deep).for_each(|_| tree.open("a", "urn:a", ""));
    (0..deep).for_each(|_| tree.close());
    let tree = tree.finish().unwrap();
    let copy = tree.clone();
    assert_eq!(copy, tree);
    assert_eq!(
        written(&tree).len(),
        " xmlns='urn:a'".len()
            + "<a>".len() * (deep - 1)
            + "<a/>".len()
            + "</a>".len() * (deep - 1)
    );
    let wrapped = Element::new("w", "").with_child(copy);
    assert!(wrapped.child("a", "urn:a").is_some());
    // Nothing here may look through all names or namespaces for each of them.
    let many: Vec<String> = (0..50_000).map(|n| format!("n{n}")).collect();
    let mut tree = TreeBuilder::new();
    tree.open("a", "", "");
    for name in &many {
        tree.open(name, if name.ends_with('1') { name } else { "urn:2" }, "");
        tree.close();
    }
    tree.close();
    let tree = tree.finish().unwrap();
    assert_eq!(tree.children().count(), many.len());
    assert_eq!(
        Element::new("w", "")
            .with_child(tree)
            .children()
            .next()
            .unwrap()
            .children()
            .count(),
        many.len()
    );
}

#[test]
fn an_idle_framer_owns_nothing() {
    let mut framer = Framer::new(Limits::new(1000));
    let mut feed = |chunk: &str| {
        let mut input = chunk.as_bytes();
        while framer.next(&mut input).unwrap().is_some() {}
        framer.heap_bytes()
    };
    assert!(feed("<stream:stream xmlns='jabber:client' ") > 0);
    assert_eq!(
        feed("xmlns:stream='http://etherx.jabber.org/streams'> \n"),
        0
    );
    assert!(feed("<message><body>") > 0);
    assert!(feed(&"x".repeat(900)) <= 1000);
    assert_eq!(feed("</body></message><presence/>  "), 0);
}
