//! What is attached, and its summary (XEP-0470 §4.7, §4.8). Attachments that are not known here are kept
//! and not summarised.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::ns;
use crate::state::nodes::Related;
use crate::xml::{El, Element};

/// Bytes of a reaction.
const REACTION: usize = 64;

/// What one entity attached to an item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    noticed: bool,
    reactions: BTreeSet<String>,
}

impl Attached {
    /// Of an `<attachments/>`. The same reaction counts once (§4.8.2).
    pub(crate) fn read(payload: El<'_>) -> Attached {
        let children = payload.children();
        let mut attached = Attached::default();
        for child in children.filter(|child| child.ns() == ns::ATTACHMENTS) {
            match child.name() {
                "noticed" => attached.noticed = true,
                "reactions" => attached.reactions.extend(
                    child
                        .children()
                        .filter(|el| el.is("reaction", ns::ATTACHMENTS))
                        .map(|el| el.text().trim().to_owned())
                        .filter(|text| !text.is_empty()),
                ),
                _ => {}
            }
        }
        attached
    }

    /// Whether it is not too much.
    pub(crate) fn fits(&self, bounds: &Related) -> bool {
        let short = self.reactions.iter().all(|text| text.len() <= REACTION);
        short && self.reactions.len() <= bounds.reactions as usize
    }
}

/// What all attached to an item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    noticed: u64,
    reactions: BTreeMap<String, u64>,
}

impl Summary {
    /// Of a `<summary/>`.
    pub(crate) fn read(payload: El<'_>) -> Summary {
        let count = |el: El<'_>| el.attr("count").and_then(|n| n.parse().ok()).unwrap_or(1);
        let of = |name| payload.child(name, ns::ATTACHMENTS_SUMMARY);
        let reactions = of("reactions").into_iter().flat_map(El::children);
        Summary {
            noticed: of("noticed").map_or(0, count),
            reactions: reactions
                .map(|el| (el.text().into_owned(), count(el)))
                .collect(),
        }
    }

    /// The `<summary/>`, what is most frequent first.
    pub(crate) fn to_element(&self) -> Element {
        let el = |name: &str| Element::new(name, ns::ATTACHMENTS_SUMMARY);
        let mut summary = el("summary");
        if self.noticed > 0 {
            let count = self.noticed.to_string();
            summary = summary.with_child(el("noticed").with_attr("count", &count));
        }
        let mut reactions: Vec<_> = self.reactions.iter().collect();
        reactions.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let reactions = reactions.into_iter().map(|(text, count)| {
            let mut reaction = el("reaction").with_text(text);
            let several = (*count > 1).then(|| count.to_string());
            reaction.set_attr("count", several.as_deref());
            reaction
        });
        if !self.reactions.is_empty() {
            summary = summary.with_child(el("reactions").with_children(reactions));
        }
        summary
    }

    /// Somebody attached this.
    pub(crate) fn add(&mut self, attached: &Attached) {
        self.noticed = self.noticed.saturating_add(attached.noticed.into());
        for reaction in &attached.reactions {
            let count = self.reactions.entry(reaction.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Somebody took this back.
    pub(crate) fn remove(&mut self, attached: &Attached) {
        self.noticed = self.noticed.saturating_sub(attached.noticed.into());
        for reaction in &attached.reactions {
            if let Some(count) = self.reactions.get_mut(reaction) {
                *count = count.saturating_sub(1);
            }
        }
        self.reactions.retain(|_, count| *count > 0);
    }

    /// Whether it is not too much.
    pub(crate) fn fits(&self, bounds: &Related) -> bool {
        self.reactions.len() <= bounds.different as usize
    }
}
