//! What is said before bytes flow: RFC 1928 as far as XEP-0065 §10.2 has it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
/// No authentication: the name is the proof.
const NO_METHOD: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const DOMAIN: u8 = 3;
/// Hexadecimal digits of SHA-1.
const DIGITS: usize = 40;

/// What connections meet under: a hash in hexadecimal digits, lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; DIGITS]);

impl Name {
    /// Reads one; `None` if it is no hash.
    pub(super) fn parse(text: &[u8]) -> Option<Name> {
        let mut digits: [u8; DIGITS] = text.try_into().ok()?;
        digits.make_ascii_lowercase();
        digits
            .iter()
            .all(u8::is_ascii_hexdigit)
            .then_some(Name(digits))
    }
}

/// What a connection asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: Name,
    /// The address as it was sent, which the answer repeats (XEP-0065 §6.3.2).
    address: Vec<u8>,
}

/// What is answered (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Succeeded.
    Welcome = 0,
    /// Not allowed by the rules.
    NotAllowed = 2,
    /// A command that is not known.
    Command = 7,
    /// A kind of address that is not known.
    Address = 8,
}

/// Why there is nothing asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("this is not SOCKS5")]
    Version,
    #[error("no way of authentication that is known here")]
    Method,
    #[error("only CONNECT to the name of a bytestream is served")]
    Refused,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Asked {
    /// The answer.
    pub(super) fn answer(&self, code: Code) -> Vec<u8> {
        answer(code, &self.address)
    }
}

fn answer(code: Code, address: &[u8]) -> Vec<u8> {
    [&[VERSION, code as u8, 0], address].concat()
}

/// Reads what is asked for, and says so if it is nothing that is given here.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Asked, HelloError> {
    if stream.read_u8().await? != VERSION {
        return Err(HelloError::Version);
    }
    let mut methods = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&NO_METHOD) {
        stream.write_all(&[VERSION, NO_ACCEPTABLE_METHOD]).await?;
        return Err(HelloError::Method);
    }
    stream.write_all(&[VERSION, NO_METHOD]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    if version != VERSION {
        return Err(HelloError::Version);
    }
    if kind != DOMAIN {
        // Nothing is bound: 0.0.0.0, port 0.
        return refuse(stream, Code::Address, &[1, 0, 0, 0, 0, 0, 0]).await;
    }
    let length = stream.read_u8().await?;
    let mut address = vec![0; usize::from(length) + 2];
    stream.read_exact(&mut address).await?;
    let name = address.get(..usize::from(length)).and_then(Name::parse);
    let address = [&[DOMAIN, length], &*address].concat();
    if command != CONNECT {
        return refuse(stream, Code::Command, &address).await;
    }
    match name {
        Some(name) => Ok(Asked { name, address }),
        None => refuse(stream, Code::NotAllowed, &address).await,
    }
}

async fn refuse(
    stream: &mut (impl AsyncWrite + Unpin),
    code: Code,
    address: &[u8],
) -> Result<Asked, HelloError> {
    stream.write_all(&answer(code, address)).await?;
    Err(HelloError::Refused)
}
