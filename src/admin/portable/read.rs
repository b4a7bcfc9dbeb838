//! Reading XEP-0227 (1.1) piece by piece: no more of a file is in memory than one element of one account.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{MAM, PIE, XINCLUDE};
use crate::proto::ns;
use crate::xml::{self, Context, Element, Limits};

/// One piece of exported data.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// The accounts of this host follow.
    Host(String),
    /// An account's data follow.
    User {
        /// The part before the @.
        name: String,
        /// The password, where the other server knew it.
        password: Option<String>,
    },
    /// Anything of an account that has no piece of its own here.
    Part(Element),
    /// A message that no client has taken (§4.5).
    Offline(Element),
    /// A `<result/>` of the archive (§4.11).
    Archived(Element),
    /// How a node is set up (§4.10.1).
    Node(Element),
    /// An item, and its node (§4.10.2).
    Item(String, Element),
    /// The end of an account.
    UserEnd,
    /// Something that does not belong where it is, and where that is.
    Unknown(String),
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system said so.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// What it said.
        error: io::Error,
    },
    /// It is not what it should be.
    #[error("{file}, near byte {at}: {what}")]
    Wrong {
        /// The file.
        file: String,
        /// About where.
        at: u64,
        /// What is wrong.
        what: String,
    },
}

/// Files that may include each other.
const DEEPEST: usize = 4;
/// Longest element of an account, and longest run of text between elements.
const UNIT: usize = 16 << 20;

const LIMITS: Limits = Limits {
    stanza_bytes: UNIT,
    depth: 200,
    attributes: 1_000,
    namespaces: 1_000,
    name_bytes: 1_000,
    parsed_factor: 16,
};

/// Where in the document an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Top,
    Data,
    Host,
    User,
    Offline,
    Archive,
    Nodes,
    Published,
    Items,
}

impl Level {
    fn inside(self) -> &'static str {
        match self {
            Level::Top => "the file",
            Level::Data => "server-data",
            Level::Host => "host",
            Level::User => "user",
            Level::Offline => "offline-messages",
            Level::Archive => "archive",
            Level::Nodes | Level::Published => "pubsub",
            Level::Items => "items",
        }
    }
}

struct Open {
    level: Level,
    /// The node whose items they are.
    node: Option<String>,
    /// Namespace declarations in force, as written.
    declared: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct Source {
    name: PathBuf,
    reader: Reader<Bounded<BufReader<Box<dyn Read + Send>>>>,
    /// How many elements were open where it was included.
    base: usize,
}

/// Reads pieces from a file and what it includes.
pub struct PieceReader {
    root: PathBuf,
    sources: Vec<Source>,
    open: Vec<Open>,
    /// A piece that comes before anything else.
    next: Option<Piece>,
}

impl PieceReader {
    /// Begins with a file. What it includes must be in its directory or below.
    ///
    /// # Errors
    /// [`ReadError`]; so for all of these.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let root = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut reader = PieceReader::empty(root);
        reader.push(path)?;
        Ok(reader)
    }

    /// Reads one document, for tests; what it includes is not found.
    #[doc(hidden)]
    pub fn of(bytes: Vec<u8>) -> Self {
        let mut reader = PieceReader::empty(PathBuf::from("/nowhere"));
        reader.source(PathBuf::from("test"), Box::new(io::Cursor::new(bytes)));
        reader
    }

    fn empty(root: PathBuf) -> Self {
        PieceReader {
            root,
            sources: Vec::new(),
            open: vec![Open {
                level: Level::Top,
                node: None,
                declared: BTreeMap::new(),
            }],
            next: None,
        }
    }

    /// The next piece; `None` after the last.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        if let Some(piece) = self.next.take() {
            return Ok(Some(piece));
        }
        let mut buffer = Vec::new();
        while !self.sources.is_empty() {
            let piece = match self.event(&mut buffer)? {
                Event::Start(start) => self.start(&start.into_owned(), false)?,
                Event::Empty(start) => self.start(&start.into_owned(), true)?,
                Event::End(_) => self.end(),
                Event::Eof => {
                    self.eof()?;
                    None
                }
                Event::DocType(_) => return Err(self.wrong("a DTD has no place here")),
                Event::Text(text) if !text.bytes().all(|b| b.is_ascii_whitespace()) => {
                    return Err(self.wrong("text has no place here"));
                }
                _ => None,
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    fn level(&self) -> Level {
        self.open.last().map_or(Level::Top, |open| open.level)
    }

    fn start(&mut self, start: &BytesStart<'_>, empty: bool) -> Result<Option<Piece>, ReadError> {
        let tag = self.tag(start)?;
        let level = self.level();
        let pie = |name| tag.is(name, PIE);
        let entered = match level {
            Level::Top if pie("server-data") => Some((Level::Data, None)),
            Level::Top => {
                return Err(self.wrong("the file does not hold server-data of urn:xmpp:pie:0"));
            }
            Level::Data if pie("host") => {
                let host = self.attribute(&tag, "jid")?;
                Some((Level::Host, Some(Piece::Host(host))))
            }
            Level::Host if pie("user") => {
                let name = self.attribute(&tag, "name")?;
                let password = tag.attr("password").map(str::to_owned);
                Some((Level::User, Some(Piece::User { name, password })))
            }
            Level::User if pie("offline-messages") => Some((Level::Offline, None)),
            Level::User if tag.is("archive", MAM) => Some((Level::Archive, None)),
            Level::User if tag.is("pubsub", ns::PUBSUB_OWNER) => Some((Level::Nodes, None)),
            Level::User if tag.is("pubsub", ns::PUBSUB) => Some((Level::Published, None)),
            Level::Published if tag.is("items", ns::PUBSUB) => Some((Level::Items, None)),
            _ => None,
        };
        if let Some((entered, piece)) = entered {
            if !empty {
                self.enter(entered, start, tag.attr("node"));
            } else if entered == Level::User {
                self.next = Some(Piece::UserEnd);
            }
            return Ok(piece);
        }
        let included = matches!(level, Level::Data | Level::Host | Level::User);
        if included && tag.is("include", XINCLUDE) {
            if !empty {
                self.unit(start, false)?;
            }
            return self.include(&tag);
        }
        let element = self.unit(start, empty)?;
        let node = self.open.last().and_then(|open| open.node.clone());
        Ok(Some(match level {
            Level::User => Piece::Part(element),
            Level::Offline if element.is("message", ns::CLIENT) => Piece::Offline(element),
            Level::Archive if element.is("result", ns::MAM) => Piece::Archived(element),
            Level::Nodes if element.ns() == ns::PUBSUB_OWNER => Piece::Node(element),
            Level::Items if element.is("item", ns::PUBSUB) => {
                Piece::Item(node.unwrap_or_default(), element)
            }
            _ => Piece::Unknown(format!(
                "{} of {} in {}",
                element.name(),
                element.ns(),
                level.inside()
            )),
        }))
    }

    fn enter(&mut self, level: Level, start: &BytesStart<'_>, node: Option<&str>) {
        let around = self.open.last().map(|open| open.declared.clone());
        let mut declared = around.unwrap_or_default();
        declared.extend(declarations(start));
        self.open.push(Open {
            level,
            node: node.map(str::to_owned),
            declared,
        });
    }

    fn end(&mut self) -> Option<Piece> {
        let closed = self.open.pop()?;
        (closed.level == Level::User).then_some(Piece::UserEnd)
    }

    fn eof(&mut self) -> Result<(), ReadError> {
        let base = self.sources.last().map(|source| source.base);
        if base != Some(self.open.len()) {
            return Err(self.wrong("the file is cut off"));
        }
        self.sources.pop();
        Ok(())
    }

    /// The start tag alone, as an element.
    fn tag(&self, start: &BytesStart<'_>) -> Result<Element, ReadError> {
        let mut bytes = Vec::new();
        self.open_tag(start, &mut bytes);
        bytes.extend_from_slice(b"/>");
        self.parse(&bytes)
    }

    /// A start tag without its end, with the namespaces that are in force around it.
    fn open_tag(&self, start: &BytesStart<'_>, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(start.as_bytes());
        let own: Vec<_> = declarations(start).into_iter().map(|own| own.0).collect();
        let around = self.open.last().into_iter().flat_map(|open| &open.declared);
        for (name, value) in around.filter(|(name, _)| !own.contains(name)) {
            out.push(b' ');
            out.extend_from_slice(name);
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(value);
            out.push(b'"');
        }
    }

    /// The whole element that begins here.
    fn unit(&mut self, start: &BytesStart<'_>, empty: bool) -> Result<Element, ReadError> {
        let mut bytes = Vec::new();
        self.open_tag(start, &mut bytes);
        bytes.extend_from_slice(if empty { b"/>" } else { b">" });
        let (mut depth, mut buffer) = (usize::from(!empty), Vec::new());
        while depth > 0 {
            let (before, inside, after): (&[u8], _, &[u8]) = match self.event(&mut buffer)? {
                Event::Start(start) => {
                    depth += 1;
                    (b"<", start.as_bytes().to_vec(), b">")
                }
                Event::Empty(start) => (b"<", start.as_bytes().to_vec(), b"/>"),
                Event::End(end) => {
                    depth -= 1;
                    (b"</", end.as_bytes().to_vec(), b">")
                }
                Event::Text(text) => (b"", text.as_bytes().to_vec(), b""),
                Event::CData(text) => (b"<![CDATA[", text.as_bytes().to_vec(), b"]]>"),
                Event::GeneralRef(name) => (b"&", name.as_bytes().to_vec(), b";"),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => return Err(self.wrong("the file is cut off")),
                Event::DocType(_) | Event::Decl(_) => {
                    return Err(self.wrong("a declaration has no place here"));
                }
            };
            for part in [before, &inside, after] {
                bytes.extend_from_slice(part);
            }
            if bytes.len() > UNIT {
                return Err(self.wrong("an element is too large"));
            }
        }
        self.parse(&bytes)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Element, ReadError> {
        let parsed = xml::parse(bytes, &Context::client(), &LIMITS);
        parsed.map_err(|error| self.wrong(&error.to_string()))
    }

    fn attribute(&self, tag: &Element, name: &str) -> Result<String, ReadError> {
        let value = tag.attr(name).map(str::to_owned);
        value.ok_or_else(|| self.wrong(&format!("{} without {name}", tag.name())))
    }

    fn event<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<Event<'b>, ReadError> {
        buffer.clear();
        let Some(source) = self.sources.last_mut() else {
            return Ok(Event::Eof);
        };
        source.reader.get_mut().left = UNIT;
        let read = source.reader.read_event_into(buffer);
        read.map_err(|error| self.wrong(&error.to_string()))
    }

    /// §5: a relative URI, and nothing but it.
    fn include(&mut self, tag: &Element) -> Result<Option<Piece>, ReadError> {
        let odd = tag.attr("parse").or(tag.attr("xpointer")).is_some();
        let href = tag.attr("href").filter(|_| !odd).and_then(relative);
        let Some(href) = href else {
            let what = format!("include of {:?}", tag.attr("href").unwrap_or_default());
            return Ok(Some(Piece::Unknown(what)));
        };
        if self.sources.len() >= DEEPEST {
            return Err(self.wrong("files include each other"));
        }
        let here = self.sources.last().map(|source| source.name.clone());
        let folder = here.as_deref().and_then(Path::parent).unwrap_or(&self.root);
        self.push(&folder.join(href))?;
        Ok(None)
    }

    fn push(&mut self, path: &Path) -> Result<(), ReadError> {
        let file = File::open(path).map_err(|error| ReadError::Io {
            file: path.display().to_string(),
            error,
        })?;
        self.source(path.to_owned(), Box::new(file));
        Ok(())
    }

    fn source(&mut self, name: PathBuf, bytes: Box<dyn Read + Send>) {
        let bounded = Bounded {
            inner: BufReader::new(bytes),
            left: UNIT,
        };
        let reader = Reader::from_reader(bounded);
        let base = self.open.len();
        self.sources.push(Source { name, reader, base });
    }

    fn wrong(&self, what: &str) -> ReadError {
        let source = self.sources.last();
        ReadError::Wrong {
            file: source.map_or_else(String::new, |source| source.name.display().to_string()),
            at: source.map_or(0, |source| source.reader.buffer_position()),
            what: what.to_owned(),
        }
    }
}

/// The namespace declarations of a start tag, as written.
fn declarations(start: &BytesStart<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut declarations = Vec::new();
    for attribute in start.attributes().with_checks(false).flatten() {
        let name = attribute.key.as_ref().as_bytes();
        if name == b"xmlns" || name.starts_with(b"xmlns:") {
            // It is put between double quotes again.
            let value = attribute.value.replace('"', "&quot;");
            declarations.push((name.to_vec(), value.into_bytes()));
        }
    }
    declarations
}

/// A URI as a path below the file that it is in.
fn relative(href: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = href.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    let below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    (path.components().next().is_some() && path.components().all(below)).then_some(path)
}

/// Lets so many bytes through: a file without markup does not fill the memory.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other("an element is too large"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn pieces(mut reader: PieceReader) -> Result<Vec<Piece>, ReadError> {
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next_piece()? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    fn of(text: &str) -> Result<Vec<Piece>, ReadError> {
        pieces(PieceReader::of(text.as_bytes().to_vec()))
    }

    fn user(name: &str, password: Option<&str>) -> Piece {
        Piece::User {
            name: name.to_owned(),
            password: password.map(str::to_owned),
        }
    }

    #[test]
    fn pieces_come_one_by_one() {
        let text = "<?xml version='1.0' encoding='UTF-8'?>
            <server-data xmlns='urn:xmpp:pie:0' xmlns:v='vcard-temp'> <!-- a comment -->
              <host jid='capulet.com'>
                <user name='juliet' password='R0m30'>
                  <v:vCard><v:FN>Juliet &amp; <![CDATA[<nurse>]]></v:FN></v:vCard>
                  <offline-messages><message xmlns='jabber:client'><body>1</body></message><other/></offline-messages>
                  <archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'/></archive>
                </user>
                <user name='nurse'/>
                <surprise/>
              </host>
            </server-data>";
        let got = of(text).unwrap();
        assert_eq!(got.len(), 10, "{got:?}");
        assert_eq!(got[0], Piece::Host("capulet.com".to_owned()));
        assert_eq!(got[1], user("juliet", Some("R0m30")));
        let Piece::Part(vcard) = &got[2] else {
            unreachable!()
        };
        assert!(vcard.is("vCard", "vcard-temp"));
        assert_eq!(
            vcard.child("FN", "vcard-temp").unwrap().text(),
            "Juliet & <nurse>"
        );
        assert!(
            matches!(&got[3], Piece::Offline(message) if message.has_child("body", "jabber:client"))
        );
        assert!(matches!(&got[4], Piece::Unknown(what) if what.contains("offline-messages")));
        assert!(matches!(&got[5], Piece::Archived(result) if result.attr("id") == Some("1")));
        assert_eq!(got[6], Piece::UserEnd);
        assert_eq!(got[7..9], [user("nurse", None), Piece::UserEnd]);
        assert!(matches!(&got[9], Piece::Unknown(what) if what.starts_with("surprise")));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in [
            "<server-data xmlns='urn:xmpp:pie:0'><host jid='a'><user name='b'>",
            "<server-data xmlns='urn:xmpp:pie:0'><host jid='a'></user></server-data>",
            "<server-data xmlns='urn:xmpp:pie:1'/>",
            "<!DOCTYPE x [<!ENTITY e 'x'>]><server-data xmlns='urn:xmpp:pie:0'/>",
            "<server-data xmlns='urn:xmpp:pie:0'>text</server-data>",
            "<server-data xmlns='urn:xmpp:pie:0'><host jid='a'><user name='b'><q>&e;</q></user></host></server-data>",
            "<server-data xmlns='urn:xmpp:pie:0'><host jid='a'><user name='b'><q>&#1;</q></user></host></server-data>",
            "<server-data xmlns='urn:xmpp:pie:0'><host/></server-data>",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
        let endless = [
            b"<server-data xmlns='urn:xmpp:pie:0'>".to_vec(),
            vec![b' '; UNIT + 9000],
        ]
        .concat();
        assert!(pieces(PieceReader::of(endless)).is_err());
    }

    #[test]
    fn files_may_be_included_from_below() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("a.b")).unwrap();
        write("main.xml", "<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>
            <xi:include href='a.b.xml'/><xi:include href='/etc/passwd'/><xi:include href='../x'/></server-data>");
        write(
            "a.b.xml",
            "<host xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' jid='a.b'>
            <xi:include href='a.b/one%20two.xml'></xi:include></host>",
        );
        write(
            "a.b/one two.xml",
            "<user xmlns='urn:xmpp:pie:0' name='one'><x xmlns='y'/></user>",
        );
        let got = pieces(PieceReader::open(&folder.path().join("main.xml")).unwrap()).unwrap();
        assert_eq!(got.len(), 6, "{got:?}");
        assert_eq!(got[1], user("one", None));
        assert!(matches!(&got[2], Piece::Part(x) if x.is("x", "y")));
        assert!(matches!(&got[4], Piece::Unknown(_)) && matches!(&got[5], Piece::Unknown(_)));
        write(
            "a.b.xml",
            "<include xmlns='http://www.w3.org/2001/XInclude' href='a.b.xml'/>",
        );
        let main = folder.path().join("main.xml");
        assert!(pieces(PieceReader::open(&main).unwrap()).is_err());
    }
}
