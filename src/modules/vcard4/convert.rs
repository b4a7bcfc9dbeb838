//! What stands in a vCard in its new form (RFC 6350, RFC 6351) and in its old one (XEP-0054), property by property. Pictures
//! are converted elsewhere; what has no counterpart stays where it is.

use crate::proto::ns;
use crate::xml::{El, Element};

/// Properties that are one value: their names in the old and in the new form, and what the new one's value is in.
const VALUES: [(&str, &str, &str); 13] = [
    ("FN", "fn", "text"),
    ("NICKNAME", "nickname", "text"),
    ("BDAY", "bday", "date"),
    ("JABBERID", "impp", "uri"),
    ("TZ", "tz", "text"),
    ("TITLE", "title", "text"),
    ("ROLE", "role", "text"),
    ("NOTE", "note", "text"),
    ("PRODID", "prodid", "text"),
    ("REV", "rev", "timestamp"),
    ("UID", "uid", "text"),
    ("URL", "url", "uri"),
    // It says the same as a note, and older clients know it alone.
    ("DESC", "note", "text"),
];

/// Properties of several parts, with their names in both forms.
const NAME: [(&str, &str); 5] = [
    ("FAMILY", "surname"),
    ("GIVEN", "given"),
    ("MIDDLE", "additional"),
    ("PREFIX", "prefix"),
    ("SUFFIX", "suffix"),
];
const ADDRESS: [(&str, &str); 7] = [
    ("POBOX", "pobox"),
    ("EXTADD", "ext"),
    ("STREET", "street"),
    ("LOCALITY", "locality"),
    ("REGION", "region"),
    ("PCODE", "code"),
    ("CTRY", "country"),
];

/// What an address, a number or a mailbox is for.
const TYPES: [(&str, &str); 8] = [
    ("HOME", "home"),
    ("WORK", "work"),
    ("VOICE", "voice"),
    ("FAX", "fax"),
    ("PAGER", "pager"),
    ("MSG", "text"),
    ("CELL", "cell"),
    ("VIDEO", "video"),
];

/// Names of all that is converted.
const OLD: [&str; 7] = ["N", "ADR", "TEL", "EMAIL", "GEO", "ORG", "CATEGORIES"];
const NEW: [&str; 7] = ["n", "adr", "tel", "email", "geo", "org", "categories"];

/// A form of a vCard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Old,
    New,
}

impl Form {
    /// The vCard in the other form.
    fn other(self) -> Form {
        match self {
            Form::Old => Form::New,
            Form::New => Form::Old,
        }
    }

    /// One without anything.
    pub fn empty(self) -> Element {
        match self {
            Form::Old => Element::new("vCard", ns::VCARD),
            Form::New => Element::new("vcard", ns::VCARD4),
        }
    }

    /// Whether a property has a counterpart.
    fn converts(self, el: El<'_>) -> bool {
        let (name, space) = (el.name(), el.ns());
        match self {
            Form::Old => {
                space == ns::VCARD
                    && (OLD.contains(&name) || VALUES.iter().any(|(old, ..)| *old == name))
            }
            Form::New => {
                space == ns::VCARD4
                    && (NEW.contains(&name) || VALUES.iter().any(|(_, new, _)| *new == name))
            }
        }
    }

    /// What a property becomes in the other form; nothing if it says nothing.
    fn converted(self, el: El<'_>) -> Option<Element> {
        match self {
            Form::Old => to_new(el),
            Form::New => to_old(el),
        }
    }

    /// What of a vCard has a counterpart, in the other form.
    pub fn convert(self, vcard: El<'_>) -> Vec<Element> {
        let own = vcard.children().filter(|el| self.converts(*el));
        own.filter_map(|el| self.converted(el)).collect()
    }

    /// A vCard that says this, and of the old one what has no counterpart.
    pub fn with(self, properties: Vec<Element>, old: El<'_>) -> Element {
        let kept = old.children().filter(|el| !self.converts(*el));
        let kept: Vec<Element> = kept.map(|el| el.to_element()).collect();
        self.empty().with_children(properties).with_children(kept)
    }

    /// Whether two vCards say the same: as far as one of them can, the other does.
    pub fn agrees(self, vcard: El<'_>, other: El<'_>) -> bool {
        let says = |form: Form, vcard: El<'_>| {
            let own = vcard.children().filter(|el| form.converts(*el));
            own.map(|el| el.to_element()).collect::<Vec<_>>()
        };
        let theirs = self.other();
        same(self.convert(vcard), says(theirs, other))
            || same(theirs.convert(other), says(self, vcard))
    }
}

/// Whether these are the same, in whatever order.
fn same(mut some: Vec<Element>, others: Vec<Element>) -> bool {
    let count = some.len() == others.len();
    count
        && others.iter().all(|other| {
            let at = some.iter().position(|one| one == other);
            at.map(|at| some.swap_remove(at)).is_some()
        })
}

fn old(name: &str) -> Element {
    Element::new(name, ns::VCARD)
}

fn new(name: &str) -> Element {
    Element::new(name, ns::VCARD4)
}

/// The text of a child, if it says something.
fn part(el: El<'_>, name: &str) -> Option<String> {
    let child = el.child(name, el.ns())?;
    Some(child.text().trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of a property in the new form, whatever it is in.
fn value(el: El<'_>) -> Option<String> {
    let mut values = el.children().filter(|el| el.name() != "parameters");
    let text = values.next()?.text().trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Parts of a property, if there are any.
fn parts<'a>(
    el: El<'_>,
    to: fn(&str) -> Element,
    names: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<Element> {
    names
        .filter_map(|(from, into)| Some(to(into).with_text(&part(el, from)?)))
        .collect()
}

fn some(el: Element, parts: Vec<Element>) -> Option<Element> {
    (!parts.is_empty()).then(|| el.with_children(parts))
}

fn to_new(el: El<'_>) -> Option<Element> {
    let leaf = |name: &str, text: &str| new(name).with_text(text);
    match el.name() {
        "N" => some(new("n"), parts(el, new, NAME.into_iter())),
        "ADR" => {
            let address = parts(el, new, ADDRESS.into_iter());
            some(new("adr").with_children(parameters(el)), address)
        }
        "TEL" => {
            let number = part(el, "NUMBER")?;
            let tel = new("tel").with_children(parameters(el));
            Some(tel.with_child(leaf("text", &number)))
        }
        "EMAIL" => {
            let address = part(el, "USERID")?;
            let email = new("email").with_children(parameters(el));
            Some(email.with_child(leaf("text", &address)))
        }
        "GEO" => {
            let geo = format!("geo:{},{}", part(el, "LAT")?, part(el, "LON")?);
            Some(new("geo").with_child(leaf("uri", &geo)))
        }
        "ORG" => some(new("org"), texts(el, new, "text", &["ORGNAME", "ORGUNIT"])),
        "CATEGORIES" => some(new("categories"), texts(el, new, "text", &["KEYWORD"])),
        name => {
            let (_, name, kind) = VALUES.into_iter().find(|(old, ..)| *old == name)?;
            let text = el.text().trim().to_owned();
            let text = match name {
                _ if text.is_empty() => return None,
                "impp" => format!("xmpp:{text}"),
                _ => text,
            };
            let is_date = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
            let kind = match kind {
                "date" if !is_date(&text) => "text",
                kind => kind,
            };
            Some(new(name).with_child(leaf(kind, &text)))
        }
    }
}

fn to_old(el: El<'_>) -> Option<Element> {
    let leaf = |name: &str, text: &str| old(name).with_text(text);
    match el.name() {
        "n" => some(old("N"), parts(el, old, swapped(&NAME))),
        "adr" => {
            let address = parts(el, old, swapped(&ADDRESS));
            some(old("ADR").with_children(flags(el)), address)
        }
        "tel" => {
            let number = value(el)?;
            let number = number.strip_prefix("tel:").unwrap_or(&number);
            let tel = old("TEL").with_children(flags(el));
            Some(tel.with_child(leaf("NUMBER", number)))
        }
        "email" => {
            let email = old("EMAIL").with_child(old("INTERNET"));
            let email = email.with_children(flags(el));
            Some(email.with_child(leaf("USERID", &value(el)?)))
        }
        "geo" => {
            let geo = value(el)?;
            let place = geo.strip_prefix("geo:")?.split(';').next()?;
            let (lat, rest) = place.split_once(',')?;
            let lon = rest.split(',').next()?;
            let geo = old("GEO").with_child(leaf("LAT", lat));
            Some(geo.with_child(leaf("LON", lon)))
        }
        "org" => {
            let mut parts = texts(el, old, "ORGUNIT", &["text"]).into_iter();
            let name = parts.next()?.text().into_owned();
            let org = old("ORG").with_child(leaf("ORGNAME", &name));
            Some(org.with_children(parts))
        }
        "categories" => some(old("CATEGORIES"), texts(el, old, "KEYWORD", &["text"])),
        name => {
            let (name, ..) = VALUES.into_iter().find(|(_, new, _)| *new == name)?;
            let value = value(el)?;
            let text = match name {
                // Others are no addresses of XMPP.
                "JABBERID" => value.strip_prefix("xmpp:")?,
                _ => &value,
            };
            Some(leaf(name, text))
        }
    }
}

fn swapped<'a>(names: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    names.iter().map(|(old, new)| (*new, *old))
}

/// The texts of all children of these names, each in an element.
fn texts(el: El<'_>, to: fn(&str) -> Element, into: &str, from: &[&str]) -> Vec<Element> {
    let texts = el.children().filter(|child| from.contains(&child.name()));
    texts
        .map(|child| child.text().trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(|text| to(into).with_text(&text))
        .collect()
}

/// What the new form says of an address, a number or a mailbox.
fn parameters(el: El<'_>) -> Option<Element> {
    let has = |name: &str| el.has_child(name, ns::VCARD);
    let text = |name: &str| new("text").with_text(name);
    let types = TYPES.iter().filter(|(old, _)| has(old));
    let types: Vec<Element> = types.map(|(_, new)| text(new)).collect();
    let preferred = || new("pref").with_child(new("integer").with_text("1"));
    let all = some(new("type"), types).into_iter();
    some(
        new("parameters"),
        all.chain(has("PREF").then(preferred)).collect(),
    )
}

/// The same in the old form.
fn flags(el: El<'_>) -> Vec<Element> {
    let Some(parameters) = el.child("parameters", ns::VCARD4) else {
        return Vec::new();
    };
    let types = parameters.child("type", ns::VCARD4);
    let types: Vec<String> = types.map_or_else(Vec::new, |types| {
        let texts = types.children().map(|el| el.text().trim().to_lowercase());
        texts.collect()
    });
    let known = TYPES
        .iter()
        .filter(|(_, new)| types.iter().any(|has| has == new));
    let known = known.map(|(name, _)| old(name));
    let preferred = parameters.has_child("pref", ns::VCARD4);
    known.chain(preferred.then(|| old("PREF"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::{Context, Limits, parse};

    fn el(text: &str) -> Element {
        parse(text.as_bytes(), &Context::client(), &Limits::STORED).unwrap()
    }

    const OLD_CARD: &str = "<vCard xmlns='vcard-temp'>\
        <FN>Peter Saint-Andre</FN>\
        <N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN></N>\
        <NICKNAME>stpeter</NICKNAME>\
        <BDAY>1966-08-06</BDAY>\
        <ADR><WORK/><PREF/><EXTADD>Suite 600</EXTADD><STREET>1899 Wynkoop Street</STREET><LOCALITY>Denver</LOCALITY>\
        <REGION>CO</REGION><PCODE>80202</PCODE><CTRY>USA</CTRY></ADR>\
        <TEL><WORK/><VOICE/><NUMBER>+1-303-308-3282</NUMBER></TEL>\
        <EMAIL><INTERNET/><HOME/><USERID>stpeter@jabber.org</USERID></EMAIL>\
        <JABBERID>stpeter@jabber.org</JABBERID>\
        <GEO><LAT>39.59</LAT><LON>-105.01</LON></GEO>\
        <TITLE>Executive Director</TITLE><ROLE>Patron Saint</ROLE>\
        <ORG><ORGNAME>XMPP Standards Foundation</ORGNAME><ORGUNIT>Board</ORGUNIT></ORG>\
        <CATEGORIES><KEYWORD>saints</KEYWORD></CATEGORIES>\
        <URL>https://stpeter.im/</URL><NOTE>More</NOTE></vCard>";

    const NEW_CARD: &str = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>\
        <fn><text>Peter Saint-Andre</text></fn>\
        <n><surname>Saint-Andre</surname><given>Peter</given></n>\
        <nickname><text>stpeter</text></nickname>\
        <bday><date>1966-08-06</date></bday>\
        <adr><parameters><type><text>work</text></type><pref><integer>1</integer></pref></parameters><ext>Suite 600</ext>\
        <street>1899 Wynkoop Street</street><locality>Denver</locality><region>CO</region><code>80202</code>\
        <country>USA</country></adr>\
        <tel><parameters><type><text>work</text><text>voice</text></type></parameters><text>+1-303-308-3282</text></tel>\
        <email><parameters><type><text>home</text></type></parameters><text>stpeter@jabber.org</text></email>\
        <impp><uri>xmpp:stpeter@jabber.org</uri></impp>\
        <geo><uri>geo:39.59,-105.01</uri></geo>\
        <title><text>Executive Director</text></title><role><text>Patron Saint</text></role>\
        <org><text>XMPP Standards Foundation</text><text>Board</text></org>\
        <categories><text>saints</text></categories>\
        <url><uri>https://stpeter.im/</uri></url><note><text>More</text></note></vcard>";

    #[test]
    fn every_property_has_its_counterpart() {
        let (before, after) = (el(OLD_CARD), el(NEW_CARD));
        let new = Form::New.with(Form::Old.convert(before.root()), Form::New.empty().root());
        assert_eq!(new, after);
        let old = Form::Old.with(Form::New.convert(after.root()), Form::Old.empty().root());
        assert_eq!(old, before);
        assert!(Form::Old.agrees(before.root(), after.root()));
        assert!(Form::New.agrees(after.root(), before.root()));
    }

    #[test]
    fn what_has_no_counterpart_stays_where_it_is() {
        let old = el(
            "<vCard xmlns='vcard-temp'><FN>Old</FN><PHOTO><BINVAL>AAEC</BINVAL></PHOTO><X xmlns='urn:x'/></vCard>",
        );
        let new = el(
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>New</text></fn><gender><sex><text>M</text></sex></gender></vcard>",
        );
        assert!(!Form::New.agrees(new.root(), old.root()));
        let converted = Form::Old.with(Form::New.convert(new.root()), old.root());
        let wanted = el(
            "<vCard xmlns='vcard-temp'><FN>New</FN><PHOTO><BINVAL>AAEC</BINVAL></PHOTO><X xmlns='urn:x'/></vCard>",
        );
        assert_eq!(converted, wanted);
        assert!(Form::New.agrees(new.root(), converted.root()));
        let back = Form::New.with(Form::Old.convert(old.root()), new.root());
        let wanted = el(
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Old</text></fn><gender><sex><text>M</text></sex></gender></vcard>",
        );
        assert_eq!(back, wanted);
    }

    /// What one form cannot say is no reason to write the other again.
    #[test]
    fn what_says_the_same_in_other_words_agrees() {
        let new = |inside: &str| {
            el(&format!(
                "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>{inside}</vcard>"
            ))
        };
        let old = |inside: &str| el(&format!("<vCard xmlns='vcard-temp'>{inside}</vCard>"));
        for (one, other) in [
            (
                "<tel><parameters><type><text>cell</text><text>textphone</text></type></parameters><uri>tel:+1</uri></tel>",
                "<TEL><CELL/><NUMBER>+1</NUMBER></TEL>",
            ),
            ("<note><text>N</text></note>", "<DESC>N</DESC>"),
            (
                "<email><text>a@b</text></email>",
                "<EMAIL><USERID>a@b</USERID></EMAIL><TITLE/>",
            ),
            (
                "<bday><text>circa 1800</text></bday>",
                "<BDAY>circa 1800</BDAY>",
            ),
            ("<impp><uri>sip:a@b</uri></impp>", ""),
        ] {
            assert!(
                Form::New.agrees(new(one).root(), old(other).root()),
                "{one}"
            );
            assert!(
                Form::Old.agrees(old(other).root(), new(one).root()),
                "{one}"
            );
        }
        let (one, other) = ("<fn><text>A</text></fn>", "<FN>A</FN><TITLE>T</TITLE>");
        assert!(!Form::New.agrees(new(one).root(), old(other).root()));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let new = el(
            "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><geo><uri>nowhere</uri></geo><tel/><fn><text> </text></fn><n/><org/></vcard>",
        );
        assert!(Form::New.convert(new.root()).is_empty());
        let old = el(
            "<vCard xmlns='vcard-temp'><GEO/><TEL/><FN/><N/><ORG/><EMAIL><HOME/></EMAIL></vCard>",
        );
        assert!(Form::Old.convert(old.root()).is_empty());
    }
}
