//! XEP-0092: Software Version (1.1)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To, Verb};
use crate::proto::ns;
use crate::settings;
use crate::xml::Element;

settings! {
    /// Tells what software this is.
    pub struct Config {
        /// The name that is told.
        pub name: String = "waxwing".to_owned();
        /// Whether the version is told. Without it an empty one is.
        pub version: bool = true;
        /// Whether the operating system is told.
        pub os: bool = false;
    }
}

/// Answers with what may be told.
pub struct Version {
    answer: Element,
}

impl Module for Version {
    const INFO: Info = Info {
        name: "version",
        specs: &[("XEP-0092", "1.1")],
        doc: "The server's software and its version.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        let leaf = |name, text| Element::new(name, ns::VERSION).with_text(text);
        let version = match config.version {
            true => env!("CARGO_PKG_VERSION"),
            false => "",
        };
        let mut answer = Element::new("query", ns::VERSION)
            .with_child(leaf("name", &config.name))
            .with_child(leaf("version", version));
        if config.os {
            answer = answer.with_child(leaf("os", std::env::consts::OS));
        }
        Ok(Version { answer })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::VERSION);
        r.host_iq(Verb::Get, (ns::VERSION, "query"), move |_| {
            self.answer.clone().into()
        });
    }
}
