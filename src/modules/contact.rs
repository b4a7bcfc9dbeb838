//! XEP-0157: Contact Addresses for XMPP Services (1.1.1)

use std::sync::Arc;

use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::{ns, uri};
use crate::settings;

settings! {
    /// Whom to write to about this domain, as URIs such as "mailto:abuse@example.org" or "xmpp:admin@example.org".
    pub struct Config {
        /// About abuse that comes from here.
        pub abuse: Vec<String> = Vec::new() => example("[\"mailto:abuse@example.org\"]");
        /// The people who run the server.
        pub admin: Vec<String> = Vec::new() => example("[\"xmpp:admin@example.org\"]");
        /// What people think of the service.
        pub feedback: Vec<String> = Vec::new();
        /// Sales.
        pub sales: Vec<String> = Vec::new();
        /// About security.
        pub security: Vec<String> = Vec::new();
        /// Pages that tell whether the service works.
        pub status: Vec<String> = Vec::new() => example("[\"https://status.example.org\"]");
        /// Help.
        pub support: Vec<String> = Vec::new();
    }
}

/// Announces addresses in the host's disco form.
pub struct Contact {
    form: Option<Form>,
}

impl Module for Contact {
    const INFO: Info = Info {
        name: "contact",
        specs: &[("XEP-0157", "1.1.1")],
        doc: "Whom to write to about the service.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        let kinds = [
            ("abuse", config.abuse),
            ("admin", config.admin),
            ("feedback", config.feedback),
            ("sales", config.sales),
            ("security", config.security),
            ("status", config.status),
            ("support", config.support),
        ];
        let mut form = None;
        for (kind, addresses) in kinds {
            for address in &addresses {
                uri::check(address).map_err(|reason| ModuleError {
                    module: Self::INFO.name,
                    reason: format!("{kind}: {address:?} {reason}"),
                })?;
            }
            if !addresses.is_empty() {
                let field = Field::new(FieldType::ListMulti, &format!("{kind}-addresses"));
                let so_far = form
                    .unwrap_or_else(|| Form::new(FormType::Result).with_form_type(ns::SERVER_INFO));
                form = Some(so_far.with_field(field.with_values(addresses)));
            }
        }
        Ok(Contact { form })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if let Some(form) = &self.form {
            r.disco_form(To::Host, form.clone());
        }
    }
}
