//! XEP-0504: Data Policy (0.1.0)

use std::sync::Arc;

use crate::choice;
use crate::config::Period;
use crate::hooks::{Deps, Info, Module, ModuleError, Registrar, To};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::{ns, uri};
use crate::settings;

choice! {
    /// Who besides the user can get at data (§3.9).
    pub enum Access {
        /// Who runs the server.
        Admins = "admins",
        /// Who moderates rooms.
        Moderators = "moderators",
        /// Anybody of the organization.
        Organization = "organization_member",
        /// Authorities, by law.
        Government = "government",
        /// Advertisers.
        Advertisers = "advertisers",
        /// Partners, by contract.
        Partners = "partners",
        /// Nobody; it stands alone.
        None = "none",
    }
}

settings! {
    /// What becomes of people's data here, as clients show it to them. It is what you promise: the server says it and does not
    /// look whether it is true. What is not set is not told.
    pub struct Config {
        /// How long messages and files are kept at most; "0s": they are not.
        pub retention: Option<Period> = None => example("\"365d\"");
        /// Whether they are kept until somebody deletes them; then nothing is set above.
        pub kept_forever: bool = false;
        /// Whether people can delete what they sent or stored.
        pub deletion: Option<bool> = None => example("true");
        /// Whether the disk is encrypted.
        pub encrypted_at_rest: Option<bool> = None => example("true");
        /// Whether people can take all their data with them.
        pub export: Option<bool> = None => example("true");
        /// Whether people can remove their account with all that belongs to it.
        pub full_erasure: Option<bool> = None => example("true");
        /// Who besides the user can get at data.
        pub access: Vec<Access> = Vec::new() => example("[\"admins\"]");
        /// How often backups are made at the least; "0s": never.
        pub backup_every: Option<Period> = None => example("\"1d\"");
        /// How long backups are kept at most.
        pub backup_retention: Option<Period> = None => example("\"30d\"");
        /// Address of the terms of service.
        pub terms: String = String::new() => example("\"https://example.org/terms\"");
        /// More for people to know.
        pub more: String = String::new() => example("\"The server stands in Verona.\"");
    }
}

/// Announces the policy in a disco form of the host.
pub struct DataPolicy {
    form: Option<Form>,
}

impl Module for DataPolicy {
    const INFO: Info = Info {
        name: "data_policy",
        specs: &[("XEP-0504", "0.1.0")],
        doc: "What becomes of people's data here.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        check(&config).map_err(|reason| ModuleError {
            module: Self::INFO.name,
            reason,
        })?;
        let fields = fields(&config);
        let form = (!fields.is_empty()).then(|| {
            let form = Form::new(FormType::Result).with_form_type(ns::DATA_POLICY);
            fields.into_iter().fold(form, Form::with_field)
        });
        Ok(DataPolicy { form })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        if let Some(form) = &self.form {
            r.disco_form(To::Host, form.clone());
        }
    }
}

fn check(config: &Config) -> Result<(), String> {
    if config.kept_forever && config.retention.is_some() {
        return Err("retention and kept_forever say two things; leave one out".to_owned());
    }
    if config.access.len() > 1 && config.access.contains(&Access::None) {
        return Err("access: \"none\" stands alone".to_owned());
    }
    if config.terms.is_empty() {
        return Ok(());
    }
    uri::check(&config.terms).map_err(|reason| format!("terms: {:?} {reason}", config.terms))
}

/// §3; a server of its own has nothing to say of other networks (§3.2), and does not ask for the password itself (§3.1).
fn fields(config: &Config) -> Vec<Field> {
    let retention = match config.kept_forever {
        true => Some("infinite".to_owned()),
        false => config.retention.map(hours),
    };
    let texts = [
        ("data_retention", retention),
        ("backup_frequency", config.backup_every.map(hours)),
        ("backup_retention", config.backup_retention.map(hours)),
        ("tos", some(&config.terms)),
    ];
    let truths = [
        ("data_deletion", config.deletion),
        ("encryption_at_rest", config.encrypted_at_rest),
        ("data_export", config.export),
        ("full_erasure", config.full_erasure),
    ];
    let texts = texts.into_iter();
    let texts = texts.filter_map(|(var, text)| Some(Field::text(var, &text?)));
    let truths = truths.into_iter();
    let truths = truths.filter_map(|(var, truth)| Some(Field::boolean(var, truth?)));
    let mut fields: Vec<Field> = texts.chain(truths).collect();
    if !config.access.is_empty() {
        let field = Field::new(FieldType::ListMulti, "access_policy");
        fields.push(field.with_values(config.access.iter().map(|access| access.as_str())));
    }
    if let Some(more) = some(&config.more) {
        let field = Field::new(FieldType::TextMulti, "extra_info");
        fields.push(field.with_values(more.lines()));
    }
    fields
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whole hours, rounded up: it is the most that is promised.
fn hours(period: Period) -> String {
    period.get().as_secs().div_ceil(3_600).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused() {
        let both = Config {
            retention: Some(Period::days(1)),
            kept_forever: true,
            ..Config::default()
        };
        let nobody = Config {
            access: vec![Access::None, Access::Admins],
            ..Config::default()
        };
        let nowhere = Config {
            terms: "terms".to_owned(),
            ..Config::default()
        };
        for wrong in [both, nobody, nowhere] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
        assert!(fields(&Config::default()).is_empty());
    }

    #[test]
    fn times_are_told_in_whole_hours_that_are_not_too_few() {
        for (period, told) in [
            (Period::seconds(0), "0"),
            (Period::minutes(61), "2"),
            (Period::days(2), "48"),
        ] {
            assert_eq!(hours(period), told);
        }
    }
}
