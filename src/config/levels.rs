//! Levels of the log: "info", or for parts of the server "warn,net=debug".

/// Rooms of the server, which may be named without `waxwing::`.
const PARTS: &[&str] = &[
    "admin",
    "config",
    "federation",
    "hooks",
    "http",
    "metrics",
    "modules",
    "net",
    "router",
    "runtime",
    "server",
    "session",
    "state",
    "store",
    "stream",
];
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// Checks a list of levels; parts of the server get their full names.
///
/// # Errors
/// What is wrong and what would be right.
pub fn log_levels(text: &str) -> Result<String, String> {
    let all: Result<Vec<String>, String> = text.split(',').map(|one| full(one.trim())).collect();
    Ok(all?.join(","))
}

fn full(one: &str) -> Result<String, String> {
    let (part, level) = match one.split_once('=') {
        Some((part, level)) => (Some(part.trim()), level.trim()),
        None => (None, one),
    };
    if !LEVELS.contains(&level) {
        return Err(format!(
            "\"{one}\" is not a level; give {}, or levels for parts of the server such as \"info,net=debug\"",
            LEVELS.join(", ")
        ));
    }
    Ok(match part {
        None => level.to_owned(),
        Some(part)
            if PARTS
                .iter()
                .any(|known| part.split("::").next() == Some(known)) =>
        {
            format!("waxwing::{part}={level}")
        }
        Some(part) => format!("{part}={level}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_may_be_named_shortly() {
        let read = |text| log_levels(text);
        assert_eq!(read("info"), Ok("info".to_owned()));
        let long = "warn,waxwing::net=debug,waxwing::net::tls=trace,rustls=off";
        assert_eq!(
            read("warn, net=debug,net::tls = trace,rustls=off").as_deref(),
            Ok(long)
        );
        for wrong in ["", "loud", "net=", "info,net=loud", "net"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
