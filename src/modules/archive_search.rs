//! XEP-0431: Full Text Search in MAM (0.2.0)
//!
//! A query of the archive may name words that its messages have in their bodies. There is no index:
//! the messages are read, and a page ends after a bounded number of them.

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To};
use crate::proto::ns;
use crate::settings;

settings! {
    /// Search for words in the archive, where bodies can be read.
    pub struct Config {}
}

/// Announces the field of the query.
pub struct ArchiveSearch;

impl Module for ArchiveSearch {
    const INFO: Info = Info {
        name: "archive_search",
        specs: &[("XEP-0431", "0.2.0")],
        doc: "Search for words in the archive, where bodies can be read. It reads many messages for each page.",
        on_by_default: false,
    };
    type Config = Config;

    fn build(_: Config, _: &Deps) -> Result<Self, ModuleError> {
        Ok(ArchiveSearch)
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::FULLTEXT);
    }
}
