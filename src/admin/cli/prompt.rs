//! Questions on the terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A password from the terminal, without echo, twice. `None` when there is no terminal.
///
/// # Errors
/// In words: they differ, or it was given up.
pub fn new_password(what: &str) -> Result<Option<String>, String> {
    let Ok(mut terminal) = Terminal::open() else {
        return Ok(None);
    };
    let first = terminal.secret(&format!("New password for {what}: "))?;
    if first.is_empty() {
        return Err("the password is empty".to_owned());
    }
    let second = terminal.secret("Again: ")?;
    if first == second {
        Ok(Some(first))
    } else {
        Err("the two passwords differ; nothing was changed".to_owned())
    }
}

/// The first line of standard input.
///
/// # Errors
/// In words.
pub fn password_from_stdin() -> Result<String, String> {
    let mut line = String::new();
    let mut input = io::stdin().lock().take(4096);
    input
        .read_line(&mut line)
        .map_err(|error| format!("cannot read the password from standard input: {error}"))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err("there is no password on standard input".to_owned());
    }
    Ok(password.to_owned())
}

/// Asks for a yes. `None` when there is no terminal.
pub fn confirmed(question: &str) -> Option<bool> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .ok()?;
    let mut reader = BufReader::new(file.try_clone().ok()?);
    write!(&file, "{question} Type yes to go on: ").ok()?;
    let mut answer = String::new();
    reader.read_line(&mut answer).ok()?;
    Some(answer.trim() == "yes")
}

/// The terminal without echo; as before when dropped.
struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut silent = before.clone();
        // Keys come one by one and Ctrl-C is a key, so that the echo is always switched on again.
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&file, OptionalActions::Flush, &silent)?;
        Ok(Self { file, before })
    }

    fn secret(&mut self, question: &str) -> Result<String, String> {
        let failed = |error: io::Error| format!("cannot ask on the terminal: {error}");
        write!(self.file, "{question}").map_err(failed)?;
        let mut typed: Vec<u8> = Vec::new();
        loop {
            let mut key = [0_u8];
            self.file.read_exact(&mut key).map_err(failed)?;
            match key {
                [b'\n' | b'\r'] => break,
                [3 | 4 | 27] => {
                    let _ = writeln!(self.file);
                    return Err("given up".to_owned());
                }
                [8 | 127] => erase(&mut typed),
                [21] => typed.clear(),
                [byte] if typed.len() < 1024 => typed.push(byte),
                _ => {}
            }
        }
        writeln!(self.file).map_err(failed)?;
        String::from_utf8(typed).map_err(|_| "the password is not UTF-8".to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.file, OptionalActions::Flush, &self.before);
    }
}

/// Takes the last character away, however many bytes it has.
fn erase(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}
