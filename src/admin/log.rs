//! Where `tracing` events go: standard error, one line each, as text or as JSON.
//!
//! Whatever came from outside and stands in a value is escaped, so that nobody can write a second line into the log.

use std::fmt::{self, Write};
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, Layer, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat, log_levels};

type Filter = reload::Layer<Targets, Registry>;
type Handle = reload::Handle<Targets, Registry>;

/// The filter of this process's log, which is one for the process as standard error is.
static FILTER: OnceLock<Handle> = OnceLock::new();

/// Sends events to standard error from now on. Panics are events as well. A second call changes nothing.
pub fn start(log: &Log) {
    let (filter, handle) = reload::Layer::new(targets(log));
    let started = match log.format {
        LogFormat::Text => subscriber(filter, std::io::stderr).try_init(),
        LogFormat::Json => json_subscriber(filter, std::io::stderr).try_init(),
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
        std::panic::set_hook(Box::new(
            |panic| tracing::error!(target: "waxwing", %panic, "a task panicked"),
        ));
    }
}

/// What is logged from now on, as `log.level` writes it.
///
/// # Errors
/// In words: it is not a level, or this process keeps no log.
pub fn set_level(level: &str) -> Result<(), String> {
    let new: Targets = log_levels(level)?
        .parse()
        .map_err(|_| format!("\"{level}\" is not a level"))?;
    let filter = FILTER.get().ok_or("this process keeps no log")?;
    filter.reload(new).map_err(|error| error.to_string())
}

/// `asked` laid over the levels `before`: parts keep theirs unless they are named again.
pub fn over(before: &str, asked: &str) -> String {
    let part = |one: &str| one.split_once('=').map(|(part, _)| part.trim().to_owned());
    let full = |text: &str| log_levels(text).unwrap_or_else(|_| text.to_owned());
    let asked = full(&asked.replace(' ', ","));
    let named: Vec<Option<String>> = asked.split(',').map(part).collect();
    let kept = before
        .split(',')
        .filter(|one| !one.is_empty() && !named.contains(&part(one)));
    kept.chain(asked.split(',')).collect::<Vec<_>>().join(",")
}

/// What is logged now.
pub fn level() -> Option<String> {
    let shown = FILTER.get()?.with_current(|targets| targets.to_string());
    shown.ok()
}

fn targets(log: &Log) -> Targets {
    // The configuration has been checked; should it not be readable all the same, less is better than nothing.
    let checked = log_levels(&log.level).ok();
    checked
        .and_then(|level| level.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO))
}

fn subscriber<W>(filter: Filter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = Layer::new()
        .fmt_fields(Text)
        .event_format(Text)
        .with_ansi(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(layer)
}

fn json_subscriber<W>(filter: Filter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let format = Format::default()
        .json()
        .flatten_event(true)
        .with_current_span(false);
    let layer = Layer::new()
        .fmt_fields(JsonFields::new())
        .event_format(format)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(layer)
}

/// `time LEVEL target: message name=value …`, spans in front of the message.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        write!(writer, " {:<5} {}:", metadata.level(), metadata.target())?;
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let extensions = span.extensions();
            let fields = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>();
            write!(
                writer,
                " {}{{{}}}",
                span.name(),
                fields.map_or("", |fields| fields.fields.as_str().trim())
            )?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

impl<'w> FormatFields<'w> for Text {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        writer: Writer<'w>,
        fields: R,
    ) -> fmt::Result {
        let mut line = Fields {
            writer,
            result: Ok(()),
        };
        fields.record(&mut line);
        line.result
    }
}

struct Fields<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.try_put(field, value);
        }
    }

    fn try_put(&mut self, field: &Field, value: &str) -> fmt::Result {
        self.writer.write_char(' ')?;
        if field.name() == "message" {
            return escape(&mut self.writer, value, false);
        }
        write!(self.writer, "{}=", field.name())?;
        let quoted = value.is_empty() || value.contains([' ', '=', '"']);
        if !quoted {
            return escape(&mut self.writer, value, false);
        }
        self.writer.write_char('"')?;
        escape(&mut self.writer, value, true)?;
        self.writer.write_char('"')
    }
}

/// Control characters (line ends, terminal sequences), and the characters that change the direction of what follows.
fn escape(out: &mut impl Write, text: &str, quoted: bool) -> fmt::Result {
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns || (quoted && matches!(c, '"' | '\\')) {
            write!(out, "{}", c.escape_default())?;
        } else {
            out.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events() {
        let forged = "romeo\n2026-01-01T00:00:00Z ERROR waxwing: \u{1b}[31mforged\u{202e}";
        warn!(account = forged, "failed login");
        info!(target: "waxwing::net", port = 5222, name = "two words", empty = "", "listening");
        let span = info_span!("connection", peer = %"192.0.2.1 \"x\"");
        let _inside = span.enter();
        info!(error = ?Some("a\nb"), "closed\nby {}", forged);
        debug!("not shown");
    }

    fn log(format: LogFormat) -> String {
        let log = Log {
            level: "info".to_owned(),
            format,
        };
        let (filter, _) = reload::Layer::new(targets(&log));
        let lines = Lines::default();
        let writer = lines.clone();
        let make = move || writer.clone();
        match format {
            LogFormat::Text => tracing::subscriber::with_default(subscriber(filter, make), events),
            LogFormat::Json => {
                tracing::subscriber::with_default(json_subscriber(filter, make), events)
            }
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn one_event_is_one_line() {
        let text = log(LogFormat::Text);
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        let forged = "romeo\\n2026-01-01T00:00:00Z ERROR waxwing: \\u{1b}[31mforged\\u{202e}";
        assert_eq!(
            lines,
            [
                format!("WARN  waxwing::admin::log::tests: failed login account=\"{forged}\""),
                "INFO  waxwing::net: listening port=5222 name=\"two words\" empty=\"\"".to_owned(),
                format!(
                    "INFO  waxwing::admin::log::tests: connection{{peer=\"192.0.2.1 \\\"x\\\"\"}} closed\\nby {forged} error=\"Some(\\\"a\\\\nb\\\")\""
                ),
            ]
        );
    }

    #[test]
    fn levels_are_laid_over_what_is_in_force() {
        assert_eq!(over("info", "net=debug"), "info,waxwing::net=debug");
        assert_eq!(
            over("waxwing::net=debug,info", "warn store=trace"),
            "waxwing::net=debug,warn,waxwing::store=trace"
        );
        assert_eq!(
            over("info,waxwing::net=debug", "net=off"),
            "info,waxwing::net=off"
        );
        assert_eq!(over("", "loud"), "loud");
    }

    #[test]
    fn json_lines_can_be_read() {
        let text = log(LogFormat::Json);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        let first = lines.first().unwrap();
        assert_eq!(
            (first["level"].as_str(), first["message"].as_str()),
            (Some("WARN"), Some("failed login"))
        );
        assert!(first["account"].as_str().unwrap().starts_with("romeo\n"));
    }
}
