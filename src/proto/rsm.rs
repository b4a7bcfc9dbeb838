//! XEP-0059: Result Set Management (1.0).

use super::{Condition, StanzaError, ns};
use crate::xml::{El, Element};

/// Which page of a result is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// At most so many items; the answerer has a limit of its own.
    pub max: Option<usize>,
    /// Only what follows this item.
    pub after: Option<String>,
    /// Only what precedes this item.
    pub before: Option<String>,
    /// The page ends at the end of the range instead of beginning at its start: `<before/>` came.
    pub backwards: bool,
    /// The page starts at this position in the whole set.
    pub index: Option<usize>,
}

impl Request {
    /// Reads the `<set/>` among the children of a query; without one, the first page is wanted.
    /// A number that is none gives `bad-request`.
    pub fn of(query: El<'_>) -> Result<Request, StanzaError> {
        match query.child("set", ns::RSM) {
            Some(set) => Request::parse(set),
            None => Ok(Request::default()),
        }
    }

    /// Reads a `<set/>`.
    pub fn parse(set: El<'_>) -> Result<Request, StanzaError> {
        let mut request = Request::default();
        for child in set.children().filter(|child| child.ns() == ns::RSM) {
            let text = child.text().into_owned();
            match child.name() {
                "max" => request.max = Some(number(&text)?),
                "index" => request.index = Some(number(&text)?),
                "after" => request.after = Some(text).filter(|id| !id.is_empty()),
                "before" => {
                    request.backwards = true;
                    request.before = Some(text).filter(|id| !id.is_empty());
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// Picks the page out of a whole result, at most `most` items. `item-not-found` if the item
    /// to start from is not in it (§2.4).
    pub fn select<'a, T>(
        &self,
        items: &'a [T],
        id: impl Fn(&T) -> &str,
        most: usize,
    ) -> Result<(&'a [T], Page), StanzaError> {
        let position = |wanted: &str| {
            let found = items.iter().position(|item| id(item) == wanted);
            found.ok_or(StanzaError::new(Condition::ItemNotFound))
        };
        let mut start = match (&self.after, self.index) {
            (Some(after), _) => position(after)? + 1,
            (None, Some(index)) => index,
            (None, None) => 0,
        };
        let mut end = match &self.before {
            Some(before) => position(before)?,
            None => items.len(),
        };
        let size = self.max.unwrap_or(most).min(most);
        if self.backwards {
            start = start.max(end.saturating_sub(size));
        } else {
            end = end.min(start.saturating_add(size));
        }
        let page = items.get(start..end).unwrap_or_default();
        let answer = Page {
            first: page.first().map(|item| (id(item).to_owned(), Some(start))),
            last: page.last().map(|item| id(item).to_owned()),
            count: Some(items.len()),
        };
        Ok((page, answer))
    }
}

/// Which page was returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Id of the first item, and its position in the whole set if known.
    pub first: Option<(String, Option<usize>)>,
    /// Id of the last item.
    pub last: Option<String>,
    /// Size of the whole set, if known.
    pub count: Option<usize>,
}

impl Page {
    /// The `<set/>` element.
    pub fn to_element(&self) -> Element {
        let leaf = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
        let mut set = Element::new("set", ns::RSM);
        if let Some((id, index)) = &self.first {
            let mut first = leaf("first", id);
            first.set_attr("index", index.map(|index| index.to_string()).as_deref());
            set = set.with_child(first);
        }
        if let Some(id) = &self.last {
            set = set.with_child(leaf("last", id));
        }
        if let Some(count) = self.count {
            set = set.with_child(leaf("count", &count.to_string()));
        }
        set
    }
}

fn number(text: &str) -> Result<usize, StanzaError> {
    let number = text.trim().parse();
    number.map_err(|_| StanzaError::new(Condition::BadRequest).with_text("Not a number"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(children: &[(&str, &str)]) -> Result<Request, StanzaError> {
        let set = children
            .iter()
            .fold(Element::new("set", ns::RSM), |set, (name, text)| {
                set.with_child(Element::new(name, ns::RSM).with_text(text))
            });
        Request::of(Element::new("query", "urn:example").with_child(set).root())
    }

    fn page(children: &[(&str, &str)]) -> Result<String, Condition> {
        let items: Vec<String> = "abcdefghij".chars().map(String::from).collect();
        let (items, page) = request(children)
            .and_then(|request| request.select(&items, |item| item, 4))
            .map_err(|error| error.condition)?;
        assert_eq!(page.first.map(|(id, _)| id).as_ref(), items.first());
        assert_eq!(page.last.as_ref(), items.last());
        assert_eq!(page.count, Some(10));
        Ok(items.concat())
    }

    #[test]
    fn pages() {
        for (children, items) in [
            (&[][..], "abcd"),
            (&[("max", "2")], "ab"),
            (&[("max", "99")], "abcd"),
            (&[("max", "0")], ""),
            (&[("max", "2"), ("after", "b")], "cd"),
            (&[("after", "j")], ""),
            (&[("max", "2"), ("before", "d")], "bc"),
            (&[("max", "3"), ("before", "")], "hij"),
            (&[("before", "a")], ""),
            (&[("after", "b"), ("before", "e")], "cd"),
            (&[("max", "2"), ("index", "7")], "hi"),
            (&[("index", "10")], ""),
            (&[("after", "e"), ("before", "b")], ""),
        ] {
            assert_eq!(page(children).as_deref(), Ok(items), "{children:?}");
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(page(&[("after", "z")]), Err(Condition::ItemNotFound));
        assert_eq!(page(&[("max", "many")]), Err(Condition::BadRequest));
        assert_eq!(page(&[("max", "-1")]), Err(Condition::BadRequest));
    }

    #[test]
    fn an_answer() {
        let answer = Page {
            first: Some(("stpeter@jabber.org".to_owned(), Some(0))),
            last: Some("peterpan@neverland.lit".to_owned()),
            count: Some(800),
        };
        let set = answer.to_element();
        let first = set.child("first", ns::RSM).unwrap();
        assert_eq!(
            (first.attr("index"), &*first.text()),
            (Some("0"), "stpeter@jabber.org")
        );
        assert_eq!(set.child("count", ns::RSM).unwrap().text(), "800");
        assert!(!Page::default().to_element().has_child("first", ns::RSM));
    }
}
