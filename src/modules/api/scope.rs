//! What a token is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hooks::command::Command;

/// Everything.
const ALL: &str = "all";
/// Commands that change nothing, and look into nothing that is somebody's own.
const READ: &str = "read";

/// The status page.
const STATUS: &str = "status";

/// Words: `all`, `read`, `status`, groups of commands such as `user`, single commands such as `user add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Scopes(Vec<String>);

impl Scopes {
    /// From words with commas between them; the first that means nothing here is the error.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Scopes, String> {
        let words: Vec<String> = text
            .split(',')
            .map(|word| word.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|word| !word.is_empty())
            .collect();
        let means = |word: &str| {
            matches!(word, ALL | READ | STATUS) || known.iter().any(|name| is_of(name, word))
        };
        match words.iter().find(|word| !means(word)) {
            Some(odd) => Err(format!(
                "\"{odd}\" is neither \"all\" nor \"read\" nor \"status\" nor a command of this domain or a group of them"
            )),
            None if words.is_empty() => Err("it is empty".to_owned()),
            None => Ok(Scopes(words)),
        }
    }

    /// Whether the status page is among them.
    pub(super) fn allow_status(&self) -> bool {
        self.0
            .iter()
            .any(|word| matches!(word.as_str(), ALL | STATUS))
    }

    /// Whether a command is among them.
    pub(super) fn allow(&self, command: &Command) -> bool {
        self.0.iter().any(|word| match word.as_str() {
            ALL => true,
            READ => !command.audited,
            STATUS => false,
            word => is_of(command.name, word),
        })
    }
}

/// Whether a command is the one of this name, or in the group of it.
fn is_of(name: &str, word: &str) -> bool {
    let rest = name.strip_prefix(word);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOOK: Command = Command {
        name: "room list",
        doc: "",
        adhoc: None,
        arguments: &[],
        permission: crate::hooks::command::Permission::Host,
        confirm: None,
        audited: false,
    };
    const ADD: Command = Command {
        name: "user add",
        audited: true,
        ..LOOK
    };

    #[test]
    fn words_are_everything_reading_groups_and_commands() {
        let known = ["room list", "user add"];
        let allow = |text| {
            let scopes = Scopes::parse(text, &known).unwrap();
            (scopes.allow(&LOOK), scopes.allow(&ADD))
        };
        assert_eq!(allow("all"), (true, true));
        assert_eq!(allow(" read ,"), (true, false));
        assert_eq!(allow("user"), (false, true));
        assert_eq!(allow("user  add, room"), (true, true));
        for odd in ["", ",", "use", "user ad", "write", "user remove"] {
            assert!(Scopes::parse(odd, &known).is_err(), "{odd}");
        }
    }
}
