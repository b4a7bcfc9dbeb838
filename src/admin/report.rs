//! What a command says while it works: lines that the command line prints, the control socket carries as JSON, and a form can hold.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::acts::ActError;

/// One line of what a command says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// Names of the columns of the rows that follow.
    Columns(Vec<String>),
    /// One row.
    Row(Vec<String>),
    /// One named value.
    Fact(String, String),
    /// A sentence.
    Said(String),
    /// How far long work has come.
    Progress {
        /// What is being done.
        text: String,
        /// Done so far.
        done: u64,
        /// In total, if known.
        total: Option<u64>,
    },
    /// The end: done.
    Done,
    /// The end: not done.
    Failed {
        /// A stable word, as [`ActError::kind`].
        kind: String,
        /// A sentence.
        text: String,
    },
}

impl From<&ActError> for Line {
    fn from(error: &ActError) -> Self {
        Self::Failed {
            kind: error.kind().to_owned(),
            text: error.to_string(),
        }
    }
}

/// Where a command says what it has to say. Bounded: a slow reader slows the command.
#[derive(Clone, Debug)]
pub struct Report(mpsc::Sender<Line>);

impl Report {
    /// A report and the end at which its lines come out.
    pub fn new() -> (Self, mpsc::Receiver<Line>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    /// Names the columns of the rows that follow.
    ///
    /// # Errors
    /// [`ActError::Interrupted`] when nobody listens any more; so for all of these.
    pub async fn columns(&self, names: &[&str]) -> Result<(), ActError> {
        self.line(Line::Columns(
            names.iter().map(|name| (*name).to_owned()).collect(),
        ))
        .await
    }

    /// One row.
    ///
    /// # Errors
    /// [`ActError::Interrupted`].
    pub async fn row(&self, values: Vec<String>) -> Result<(), ActError> {
        self.line(Line::Row(values)).await
    }

    /// One named value.
    ///
    /// # Errors
    /// [`ActError::Interrupted`].
    pub async fn fact(&self, name: &str, value: impl Into<String>) -> Result<(), ActError> {
        self.line(Line::Fact(name.to_owned(), value.into())).await
    }

    /// A sentence.
    ///
    /// # Errors
    /// [`ActError::Interrupted`].
    pub async fn say(&self, text: impl Into<String>) -> Result<(), ActError> {
        self.line(Line::Said(text.into())).await
    }

    /// How far long work has come.
    ///
    /// # Errors
    /// [`ActError::Interrupted`]: the place where interrupted work stops.
    pub async fn progress(
        &self,
        text: &str,
        done: u64,
        total: Option<u64>,
    ) -> Result<(), ActError> {
        self.line(Line::Progress {
            text: text.to_owned(),
            done,
            total,
        })
        .await
    }

    pub(super) async fn line(&self, line: Line) -> Result<(), ActError> {
        self.0.send(line).await.map_err(|_| ActError::Interrupted)
    }
}
