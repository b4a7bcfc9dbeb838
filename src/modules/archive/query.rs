//! From a query as it came to what is read (XEP-0313 §4).

use super::Config;
use crate::hooks::{To, Turn};
use crate::proto::mam::{self, Offer};
use crate::proto::ns;
use crate::state::log;
use crate::store::Mid;

/// Words looked for at the most.
const WORDS: usize = 16;

/// What an archive lets its owner ask; it is searched where a module announces that (XEP-0431).
pub(super) fn offer(config: &Config, turn: &Turn<'_>) -> Offer {
    let disco = turn.account.tables.disco(To::OwnAccount);
    let announces = |var: &String| var == ns::FULLTEXT;
    Offer {
        most: config.page as usize,
        groupchat: true,
        fulltext: disco.is_some_and(|disco| disco.features.iter().any(announces)),
    }
}

/// What is read of the log.
pub(super) fn of_log(asked: mam::Query<Mid>, config: &Config) -> log::Query {
    let text = asked.text.unwrap_or_default().to_lowercase();
    let words = text.split_whitespace().take(WORDS);
    log::Query {
        with: asked.with,
        start: asked.start,
        end: asked.end,
        after: asked.after,
        before: asked.before,
        ids: asked.ids,
        no_rooms: asked.groupchat == Some(false),
        words: words.map(str::to_owned).collect(),
        backwards: asked.shape.backwards,
        max: asked.max,
        bytes: config.page_bytes.as_usize(),
    }
}
