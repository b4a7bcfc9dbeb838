//! Addresses as QR codes: for a terminal, and as a picture inside a page.

use std::fmt::Write;

use qrcode::{Color, QrCode};

/// Light around a code, in modules (ISO/IEC 18004 wants four).
const QUIET: usize = 4;

/// Which modules are dark, with what is around them.
struct Code {
    dark: Vec<bool>,
    width: usize,
}

impl Code {
    fn of(text: &str) -> Option<Code> {
        let code = QrCode::new(text.as_bytes()).ok()?;
        let dark = code.to_colors().into_iter();
        Some(Code {
            dark: dark.map(|color| color == Color::Dark).collect(),
            width: code.width(),
        })
    }

    /// With the quiet zone.
    fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.width);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else {
            return false;
        };
        self.dark.get(y * self.width + x).copied().unwrap_or(false)
    }
}

/// Lines of half blocks, light on the dark of a terminal; cameras read them turned about, too.
pub(super) fn terminal(text: &str) -> Option<String> {
    let code = Code::of(text)?;
    let mut out = String::new();
    for y in (0..code.side()).step_by(2) {
        for x in 0..code.side() {
            let below = y + 1 < code.side() && !code.is_dark(x, y + 1);
            out.push(match (!code.is_dark(x, y), below) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        out.push('\n');
    }
    Some(out)
}

/// An `<svg>` with this label.
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    let code = Code::of(text)?;
    let side = code.side();
    let mut out = format!(
        "<svg role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\""
    );
    for y in 0..side {
        for x in (0..side).filter(|x| code.is_dark(*x, y)) {
            let _ = write!(out, "M{x} {y}h1v1h-1z");
        }
    }
    out.push_str("\"/></svg>");
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_code_is_square_and_has_light_around_it() {
        let text = terminal("https://example.org/invite/abc").unwrap();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let side = lines.first().unwrap().len();
        assert_eq!(lines.len(), side.div_ceil(2));
        for line in &lines {
            assert_eq!(line.len(), side);
            assert!(line.iter().take(QUIET).all(|c| matches!(c, '█' | '▀')));
        }
        // The corner of the finder pattern.
        assert_eq!(
            lines.get(QUIET / 2).and_then(|line| line.get(QUIET)),
            Some(&' ')
        );
        assert!(
            svg("a", "b")
                .unwrap()
                .starts_with("<svg role=\"img\" aria-label=\"b\"")
        );
        assert!(terminal(&"a".repeat(5_000)).is_none());
    }
}
