//! XEP-0455: Service Outage Status (0.4.0)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::{ns, uri};
use crate::settings;

settings! {
    /// Where clients read what is wrong when this server cannot be reached: files of JSON in the format of XEP-0455, on
    /// machines that have nothing to do with this one. Clients fetch the addresses while all is well.
    pub struct Config {
        /// Their addresses.
        pub addresses: Vec<String> = Vec::new() => example("[\"https://status.example.org/outage.json\"]");
    }
}

/// Announces the addresses in a disco form of the host.
pub struct Outage {
    addresses: Vec<String>,
}

impl Module for Outage {
    const INFO: Info = Info {
        name: "outage",
        specs: &[("XEP-0455", "0.4.0")],
        doc: "Where clients read of outages.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        for address in &config.addresses {
            uri::check(address).map_err(|reason| ModuleError {
                module: Self::INFO.name,
                reason: format!("addresses: {address:?} {reason}"),
            })?;
        }
        Ok(Outage {
            addresses: config.addresses,
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if self.addresses.is_empty() {
            return;
        }
        // §2.1
        let field = Field::new(FieldType::ListMulti, "external-status-addresses");
        let form = Form::new(FormType::Result).with_form_type(ns::SOS);
        let form = form.with_field(field.with_values(self.addresses.iter().cloned()));
        r.disco_form(To::Host, form);
    }
}
