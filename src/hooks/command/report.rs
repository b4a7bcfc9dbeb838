//! What a command says while it works: lines that the command line prints, the control socket carries as JSON, and a form can hold.

use std::io::{self, BufWriter, Write};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::ActError;

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
    /// Bytes of a file that the act makes, for whoever asked to put where they belong. As JSON they are base64.
    #[serde(with = "base64_text")]
    Data(Vec<u8>),
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

/// Bytes of one [`Line::Data`].
const DATA: usize = 64 << 10;

struct Sink(mpsc::Sender<Line>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = bytes.get(..DATA).unwrap_or(bytes);
        let sent = self.0.blocking_send(Line::Data(bytes.to_vec()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
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

    /// Where bytes become [`Line::Data`], for work on a thread that may wait. Writing fails when nobody listens any more.
    pub fn sink(&self) -> impl Write + use<> {
        BufWriter::with_capacity(DATA, Sink(self.0.clone()))
    }

    /// [`Report::progress`] for work on a thread that may wait; `false` when nobody listens any more.
    pub fn progress_blocking(&self, text: &str, done: u64, total: Option<u64>) -> bool {
        let text = text.to_owned();
        let line = Line::Progress { text, done, total };
        self.0.blocking_send(line).is_ok()
    }

    async fn line(&self, line: Line) -> Result<(), ActError> {
        self.0.send(line).await.map_err(|_| ActError::Interrupted)
    }
}
