//! From text to steps.

use std::collections::BTreeSet;

use waxwing::xml::{Context, Element, Limits, parse as parse_xml};

/// One dialogue of a file.
#[derive(Debug)]
pub struct Dialogue {
    /// What it shows.
    pub heading: String,
    /// Why the server does otherwise, so far; the dialogue must then fail.
    pub deviates: Option<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// The accounts it needs, by their names in the text.
    pub accounts: BTreeSet<String>,
}

/// One thing that happens.
#[derive(Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// Whose step it is: `alice`, or `alice.phone`.
    pub who: String,
    /// What it is.
    pub action: Action,
}

/// What can happen; see the module.
#[derive(Debug)]
pub enum Action {
    Connect,
    GoOnline,
    OpenConnection,
    OpenStream,
    Secure,
    LogIn,
    Send(String),
    Receive(Vec<Element>),
    ReceiveAnyOrder(Vec<Element>),
    ReceiveHeader(Element),
    MayReceive(Vec<Element>),
    ReceiveNothing,
    StreamError(String),
    Closed,
    Ignore(Vec<Element>),
    Leave,
    CutOff,
    Contacts(String),
    Follow(String),
    Ask(String),
}

/// Reads a file.
pub fn parse(text: &str) -> Result<Vec<Dialogue>, String> {
    let mut dialogues: Vec<Dialogue> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(heading) = line.strip_prefix("== ") {
            dialogues.push(Dialogue {
                heading: heading.to_owned(),
                deviates: None,
                steps: Vec::new(),
                accounts: BTreeSet::new(),
            });
            continue;
        }
        let mut block = String::new();
        while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with(' ')) {
            append(&mut block, more.trim());
        }
        let at = |error: String| format!("line {number}: {error}: {line}");
        let dialogue = dialogues
            .last_mut()
            .ok_or_else(|| at("no heading".to_owned()))?;
        if let Some(reason) = line.strip_prefix("deviates: ") {
            dialogue.deviates = Some(reason.to_owned());
            continue;
        }
        let step = step(number, line, block).map_err(at)?;
        dialogue.mention(&step);
        dialogue.steps.push(step);
    }
    Ok(dialogues)
}

impl Dialogue {
    fn mention(&mut self, step: &Step) {
        let account = |session: &str| session.split('.').next().unwrap_or_default().to_owned();
        self.accounts.insert(account(&step.who));
        if let Action::Contacts(other) | Action::Follow(other) | Action::Ask(other) = &step.action {
            self.accounts.insert(account(other));
        }
        for part in step.action.xml().split('{').skip(1) {
            let name = part.split(['}', '/']).next().unwrap_or_default();
            let mark = format!("{{={name}}}");
            let kept = self
                .steps
                .iter()
                .any(|step| step.action.xml().contains(&mark));
            // Repeated text, and names of fields such as {urn:xmpp:spaces:0}parent.
            let is_text = name.contains([' ', ':']);
            if name != "host" && !name.starts_with('=') && !is_text && !kept {
                self.accounts.insert(account(name));
            }
        }
    }
}

impl Action {
    /// The XML in it.
    fn xml(&self) -> String {
        match self {
            Action::Send(text) => text.clone(),
            Action::Receive(patterns)
            | Action::ReceiveAnyOrder(patterns)
            | Action::MayReceive(patterns)
            | Action::Ignore(patterns) => patterns
                .iter()
                .map(|pattern| format!("{pattern:?}"))
                .collect(),
            Action::ReceiveHeader(pattern) => format!("{pattern:?}"),
            _ => String::new(),
        }
    }
}

/// Joins lines so that attributes stay apart and elements do not.
fn append(block: &mut String, line: &str) {
    if !block.is_empty() && !line.starts_with('<') && !block.ends_with('>') {
        block.push(' ');
    }
    block.push_str(line);
}

fn step(line: usize, text: &str, block: String) -> Result<Step, String> {
    let (head, same_line) = match text.split_once(':') {
        Some((head, xml)) => (head, Some(xml.trim())),
        None => (text, None),
    };
    let mut xml = same_line.unwrap_or_default().to_owned();
    append(&mut xml, &block);
    if same_line.is_some() == xml.is_empty() {
        return Err("XML is missing, or not expected".to_owned());
    }
    let (who, what) = head.trim().split_once(' ').ok_or("no step")?;
    if !who.chars().all(|c| c.is_ascii_lowercase() || c == '.') {
        return Err("a step begins with a name".to_owned());
    }
    let action = match what {
        "connects" => Action::Connect,
        "goes online" => Action::GoOnline,
        "opens a connection" => Action::OpenConnection,
        "opens a stream" => Action::OpenStream,
        "secures the stream" => Action::Secure,
        "logs in" => Action::LogIn,
        "sends" => Action::Send(xml),
        "receives" => Action::Receive(patterns(&xml)?),
        "receives in any order" => Action::ReceiveAnyOrder(patterns(&xml)?),
        "receives a header" => Action::ReceiveHeader(patterns(&xml)?.pop().ok_or("no header")?),
        "may receive" => Action::MayReceive(patterns(&xml)?),
        "receives nothing" => Action::ReceiveNothing,
        "is closed" => Action::Closed,
        "ignores" => Action::Ignore(patterns(&xml)?),
        "ignores presence and pushes" => Action::Ignore(patterns(PRESENCE_AND_PUSHES)?),
        "leaves" => Action::Leave,
        "is cut off" => Action::CutOff,
        _ => match what.split(' ').collect::<Vec<_>>()[..] {
            ["gets", "the", "stream", "error", condition] => {
                Action::StreamError(condition.to_owned())
            }
            ["and", other, "are", "contacts"] => Action::Contacts(other.to_owned()),
            ["follows", other] => Action::Follow(other.to_owned()),
            ["asks", other] => Action::Ask(other.to_owned()),
            _ => return Err("no such step".to_owned()),
        },
    };
    Ok(Step {
        line,
        who: who.to_owned(),
        action,
    })
}

const PRESENCE_AND_PUSHES: &str = "<presence _='more'/><presence type='unavailable' _='more'/>\
    <iq type='set'><query xmlns='jabber:iq:roster' _='more'/></iq>";

fn patterns(xml: &str) -> Result<Vec<Element>, String> {
    let stream = "http://etherx.jabber.org/streams";
    let wrapped = format!("<w xmlns='jabber:client' xmlns:stream='{stream}'>{xml}</w>");
    let all = parse_xml(wrapped.as_bytes(), &Context::client(), &Limits::default());
    let all = all.map_err(|error| format!("{error} in {xml}"))?;
    let patterns: Vec<Element> = all.children().map(|child| child.to_element()).collect();
    match patterns.is_empty() {
        true => Err("no element".to_owned()),
        false => Ok(patterns),
    }
}
