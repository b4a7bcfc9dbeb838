//! How it looks: charts as SVG, and tables.

use std::fmt::Write as _;

use super::PATH;
use super::history::{CHARTS, Chart, History, Kind, Unit};
use crate::hooks::page::escaped;
use crate::metrics::Samples;
use crate::proto::datetime;

/// The size of a chart, in its own units.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 60.0;
/// Certificates that end sooner are marked.
const SOON: f64 = 14.0 * DAY;
const DAY: f64 = 86_400.0;

/// Everything below the title, at this time in milliseconds.
pub(super) fn body(samples: &Samples, history: &History, now: u64) -> String {
    let mut out = String::new();
    let started = samples.sum("process_start_time_seconds");
    let since = datetime::format((started * 1000.0) as u64);
    let _ = write!(
        out,
        "<p>waxwing {}, since {since}; as of {}.</p>",
        env!("CARGO_PKG_VERSION"),
        datetime::format(now)
    );
    if samples.sum("waxwing_store_read_only") > 0.0 {
        out += "<p role=\"alert\">The store takes no changes.</p>";
    }
    out += "<h2>The last hour</h2><div>";
    CHARTS
        .iter()
        .for_each(|chart| figure(&mut out, chart, history));
    out += "</div>";
    now_and_store(&mut out, samples);
    certificates(&mut out, samples, now as f64 / 1000.0);
    let federation = [
        ("streams", "waxwing_federation_streams"),
        ("links", "waxwing_federation_links"),
        ("calls that failed", "waxwing_federation_failures_total"),
    ];
    out += "<h2>Other servers</h2>";
    labelled(&mut out, samples, &federation);
    out += "<h2>Bounds that were reached</h2>";
    labelled(
        &mut out,
        samples,
        &[("times", "waxwing_limits_reached_total")],
    );
    let _ = write!(
        out,
        "<form method=\"post\" action=\"{PATH}\"><button name=\"leave\" value=\"1\">Leave</button></form>"
    );
    out
}

fn figure(out: &mut String, chart: &Chart, history: &History) {
    let lines: Vec<_> = chart.lines.iter().collect();
    let values: Vec<_> = lines
        .iter()
        .map(|(_, metric)| history.line(chart, metric))
        .collect();
    let all = values.iter().flatten().copied();
    let top = all.fold(1.0, f64::max);
    let mut said = String::new();
    let mut drawn = String::new();
    for (((name, _), values), class) in lines.iter().zip(&values).zip(["a", "b"]) {
        let last = values.last().copied().unwrap_or(0.0);
        let last = number(last, chart.kind, chart.unit);
        let _ = write!(said, "<span class=\"{class}\">{name} {last}</span> ");
        let _ = write!(
            drawn,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            points(values, top)
        );
    }
    let top = number(top, chart.kind, chart.unit);
    let _ = write!(
        out,
        "<figure><figcaption><b>{}</b>{said}(top {top})</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{drawn}</svg></figure>",
        chart.title
    );
}

/// The newest at the right edge, whatever there is before.
fn points(values: &[f64], top: f64) -> String {
    let mut points = String::new();
    for (back, value) in values.iter().rev().enumerate() {
        let (x, y) = (WIDTH - back as f64, HEIGHT - HEIGHT * value / top);
        let _ = write!(points, "{x:.0},{y:.1} ");
    }
    points
}

fn now_and_store(out: &mut String, samples: &Samples) {
    const ROWS: &[(&str, &str, Unit)] = &[
        ("Web connections", "waxwing_http_connections", Unit::Number),
        (
            "Rooms with somebody in them",
            "waxwing_rooms_occupied",
            Unit::Number,
        ),
        ("Bytestreams", "waxwing_bytestreams_open", Unit::Number),
        (
            "Changes that wait to be written",
            "waxwing_store_queued",
            Unit::Number,
        ),
        ("Store on the disk", "waxwing_store_disk_bytes", Unit::Bytes),
        ("Free disk space", "waxwing_store_free_bytes", Unit::Bytes),
        ("Uploaded files", "waxwing_upload_held_bytes", Unit::Bytes),
    ];
    let connections = samples.each("waxwing_streams");
    out.push_str("<h2>Now</h2><table>");
    for (label, value) in connections {
        let text = format!("Connections ({})", value_of(label));
        row(out, &text, &number(value, Kind::Level, Unit::Number));
    }
    for (name, metric, unit) in ROWS {
        row(out, name, &number(samples.sum(metric), Kind::Level, *unit));
    }
    out.push_str("</table>");
}

fn certificates(out: &mut String, samples: &Samples, now: f64) {
    out.push_str("<h2>Certificates</h2><table>");
    for (label, ends) in samples.each("waxwing_certificate_expiry_timestamp_seconds") {
        let (left, when) = (ends - now, datetime::format((ends * 1000.0) as u64));
        let days = (left / DAY).floor();
        let mark = if left < SOON { "strong" } else { "span" };
        let text = format!("<{mark}>until {when}, {days} days</{mark}>");
        let name = escaped(&value_of(label));
        let _ = write!(out, "<tr><th>{name}</th><td>{text}</td></tr>");
    }
    out.push_str("</table>");
}

/// Metrics with their labels; what is zero is left out.
fn labelled(out: &mut String, samples: &Samples, metrics: &[(&str, &str)]) {
    let before = out.len();
    out.push_str("<table>");
    let empty = out.len();
    for (name, metric) in metrics {
        for (label, value) in samples.each(metric) {
            let text = format!("{name}: {}", value_of(label));
            row(out, &text, &number(value, Kind::Level, Unit::Number));
        }
    }
    if out.len() == empty {
        out.truncate(before);
        out.push_str("<p>None.</p>");
    } else {
        out.push_str("</table>");
    }
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "<tr><th>{}</th><td>{value}</td></tr>", escaped(name));
}

/// `bound` of `{state="bound"}`.
fn value_of(label: &str) -> String {
    let value = label.split_once("=\"").map(|(_, value)| value);
    value.unwrap_or_default().trim_end_matches("\"}").to_owned()
}

/// A number for people.
fn number(value: f64, kind: Kind, unit: Unit) -> String {
    match (unit, kind) {
        (Unit::Bytes, _) => bytes(value),
        (Unit::Number, Kind::Level) => format!("{value:.0}"),
        (Unit::Number, Kind::Rate) => format!("{value:.1}"),
    }
}

fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let places = usize::from(unit != "B");
            return format!("{value:.places$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(bytes(17.0), "17 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(5e14), "454.7 TiB");
        assert_eq!(number(2.25, Kind::Rate, Unit::Number), "2.2");
        assert_eq!(number(2.0, Kind::Level, Unit::Number), "2");
        assert_eq!(value_of("{state=\"bound\"}"), "bound");
    }

    #[test]
    fn the_newest_is_at_the_right_and_the_top_is_the_top() {
        assert_eq!(points(&[0.0, 2.0, 4.0], 4.0), "360,0.0 359,30.0 358,60.0 ");
    }

    #[test]
    fn what_is_soon_over_is_marked_and_names_do_not_break_out() {
        let mut samples = Samples::default();
        for (host, ends) in [("a.example", 10.0), ("<b>", 100.0)] {
            let help = "Expiry.";
            let host = [("host", host)];
            samples.gauge(
                "waxwing_certificate_expiry_timestamp_seconds",
                help,
                &host,
                ends * DAY,
            );
        }
        let page = body(&samples, &History::default(), 0);
        assert!(page.contains("<th>a.example</th><td><strong>until 1970-01-11T"));
        assert!(page.contains("<th>&lt;b&gt;</th><td><span>until"));
        assert!(page.contains("<h2>Bounds that were reached</h2><p>None.</p>"));
    }
}
