//! Whether what came is what was written.

use std::collections::HashMap;

use waxwing::proto::ns;
use waxwing::xml::{El, Element};

/// Values of variables: what the dialogue knows and what it keeps.
pub type Variables = HashMap<String, String>;

/// Replaces `{name}` and `{1000 x}`; what is unknown stays.
pub fn substitute(text: &str, variables: &Variables) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(name, end)| {
            Some((
                variables.get(name).cloned().or_else(|| repeated(name))?,
                end,
            ))
        });
        match known {
            Some((value, end)) => {
                out.push_str(&value);
                rest = end;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

fn repeated(name: &str) -> Option<String> {
    let (times, what) = name.split_once(' ')?;
    Some(what.repeat(times.parse().ok()?))
}

/// Whether an element is what the pattern says; keeps values only if it is.
pub fn matches(pattern: &Element, got: &Element, variables: &mut Variables) -> bool {
    let mut kept = variables.clone();
    let same = element(pattern.root(), got.root(), true, &mut kept);
    if same {
        *variables = kept;
    }
    same
}

fn element(pattern: El<'_>, got: El<'_>, root: bool, variables: &mut Variables) -> bool {
    let more = pattern.attr("_") == Some("more");
    let is_error = root && got.attr("type") == Some("error");
    pattern.name() == got.name()
        && pattern.ns() == got.ns()
        && attributes(pattern, got, root, more, variables)
        && children(pattern, got, root, more || is_error, variables)
        && text(pattern, got, more, variables)
}

fn attributes(
    pattern: El<'_>,
    got: El<'_>,
    root: bool,
    more: bool,
    variables: &mut Variables,
) -> bool {
    let written = |local: &str, ns: &str| pattern.attrs().any(|(l, n, _)| (l, n) == (local, ns));
    let as_written = pattern
        .attrs()
        .filter(|(local, ns, _)| (*local, *ns) != ("_", ""))
        .all(|(local, ns, value)| {
            let found = got.attrs().find(|(l, n, _)| (*l, *n) == (local, ns));
            found.map_or(value == "?", |(_, _, found)| {
                self::value(value, found, variables)
            })
        });
    as_written
        && got.attrs().all(|(local, ns, _)| match root {
            true => local != "type" || written(local, ns),
            false => more || written(local, ns) || (got.name(), local) == ("error", "by"),
        })
}

/// Each written child once, in any order; what is not written must be of the kind that may come.
fn children(
    pattern: El<'_>,
    got: El<'_>,
    root: bool,
    more: bool,
    variables: &mut Variables,
) -> bool {
    let mut left: Vec<El<'_>> = got.children().collect();
    for wanted in pattern.children() {
        let found = left.iter().position(|child| {
            let mut kept = variables.clone();
            let same = element(wanted, *child, false, &mut kept);
            if same {
                *variables = kept;
            }
            same
        });
        match found {
            Some(at) => left.remove(at),
            None => return false,
        };
    }
    more || left.iter().all(|child| {
        let decoration = root
            && matches!(
                child.ns(),
                ns::STANZA_ID | ns::DELAY | ns::OCCUPANT_ID | ns::VCARD_UPDATE
            );
        let explanation = child.name() == "text"
            && matches!(child.ns(), ns::STANZA_ERRORS | ns::STREAM_ERRORS | ns::SASL);
        let version = child.is("mav", ns::MUC_AFFILIATIONS);
        decoration || explanation || version
    })
}

fn text(pattern: El<'_>, got: El<'_>, more: bool, variables: &mut Variables) -> bool {
    let (wanted, found) = (pattern.text(), got.text());
    (more && wanted.trim().is_empty()) || value(wanted.trim(), found.trim(), variables)
}

fn value(pattern: &str, found: &str, variables: &mut Variables) -> bool {
    if matches!(pattern, "*" | "?") {
        return true;
    }
    if let Some(name) = pattern.strip_prefix("{=").and_then(|p| p.strip_suffix('}')) {
        variables.insert(name.to_owned(), found.to_owned());
        return true;
    }
    substitute(pattern, variables) == found
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing::xml::{Context, Limits, parse};

    fn el(text: &str) -> Element {
        parse(text.as_bytes(), &Context::client(), &Limits::default()).unwrap()
    }

    fn same(pattern: &str, got: &str) -> bool {
        let mut variables = Variables::from([("a".to_owned(), "a@b".to_owned())]);
        matches(&el(pattern), &el(got), &mut variables)
    }

    #[test]
    fn the_root_is_loose_but_for_its_type() {
        assert!(same(
            "<message/>",
            "<message id='1' from='x' xml:lang='en'/>"
        ));
        assert!(!same("<message/>", "<message type='chat'/>"));
        assert!(same("<message from='{a}'/>", "<message from='a@b'/>"));
        assert!(!same("<message from='{a}'/>", "<message/>"));
        assert!(!same("<message/>", "<presence/>"));
    }

    #[test]
    fn what_is_inside_is_exact() {
        assert!(same(
            "<iq type='set'><q xmlns='x'><i/><j/></q></iq>",
            "<iq type='set'><q xmlns='x'><j/><i/></q></iq>"
        ));
        assert!(!same(
            "<iq><q xmlns='x'/></iq>",
            "<iq><q xmlns='x' ver='1'/></iq>"
        ));
        assert!(!same(
            "<iq><q xmlns='x'/></iq>",
            "<iq><q xmlns='x'><i/></q></iq>"
        ));
        assert!(!same("<message/>", "<message><body>hi</body></message>"));
        assert!(!same(
            "<message><body>hi</body></message>",
            "<message><body>ho</body></message>"
        ));
        assert!(same(
            "<message><body>*</body></message>",
            "<message><body>ho</body></message>"
        ));
        assert!(same(
            "<iq><q xmlns='x' ver='?'/></iq>",
            "<iq><q xmlns='x' ver='1'/></iq>"
        ));
        assert!(same(
            "<iq><q xmlns='x' ver='?'/></iq>",
            "<iq><q xmlns='x'/></iq>"
        ));
        assert!(same(
            "<iq><q xmlns='x' _='more'/></iq>",
            "<iq><q xmlns='x' ver='1'><i/>text</q></iq>"
        ));
    }

    #[test]
    fn decorations_and_echoes_may_come() {
        assert!(same(
            "<message/>",
            "<message><stanza-id xmlns='urn:xmpp:sid:0' id='1'/></message>"
        ));
        assert!(same(
            "<iq type='error'><error type='cancel'><x xmlns='y'/></error></iq>",
            "<iq type='error'><q xmlns='x'/><error type='cancel'><x xmlns='y'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text></error></iq>"
        ));
    }

    #[test]
    fn values_are_kept_only_from_what_fits() {
        let mut variables = Variables::new();
        let pattern = el("<iq type='result'><q xmlns='x' ver='{=ver}'/></iq>");
        assert!(!matches(
            &pattern,
            &el("<iq><q xmlns='x' ver='1'/></iq>"),
            &mut variables
        ));
        assert!(variables.is_empty());
        assert!(matches(
            &pattern,
            &el("<iq type='result'><q xmlns='x' ver='2'/></iq>"),
            &mut variables
        ));
        assert_eq!(substitute("v{ver}{other}", &variables), "v2{other}");
    }
}
