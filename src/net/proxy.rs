//! PROXY protocol, versions 1 and 2: the true address of a client behind a trusted proxy.
//!
//! Strict: the header must be whole, of a known version, TCP, and at most 1 KiB; anything else ends the connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// "PROXY TCP6 " with two full addresses and ports, CR LF included (specification §2.1).
const MAX_V1_BYTES: usize = 107;
/// Addresses and TLVs of version 2.
const MAX_V2_BYTES: usize = 1024;

/// What the proxy says about its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// The client's address.
    Client(SocketAddr),
    /// The proxy speaks for itself (a health check) or does not know.
    Proxy,
}

/// Why a header is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the proxy's connection: {0}")]
    Io(#[from] io::Error),
    #[error("it does not begin with a PROXY protocol header")]
    NoHeader,
    #[error("its PROXY protocol header is wrong: {0}")]
    Wrong(&'static str),
}

/// Takes the header from the front of `stream`, and not one byte more.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Announced, ProxyError> {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        read_v2(stream).await
    } else if start.starts_with(b"PROXY ") {
        read_v1(stream, &start).await
    } else {
        Err(ProxyError::NoHeader)
    }
}

async fn read_v1<S: AsyncRead + Unpin>(
    stream: &mut S,
    start: &[u8],
) -> Result<Announced, ProxyError> {
    let mut line = start.to_vec();
    // Byte by byte, since the client's first byte follows at once.
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_V1_BYTES {
            return Err(ProxyError::Wrong("the line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    line.truncate(line.len() - 2);
    parse_v1(&line).ok_or(ProxyError::Wrong("the line cannot be understood"))
}

async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Announced, ProxyError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_BYTES {
        return Err(ProxyError::Wrong("it is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse_v2(version_command, family, &body)
}

fn parse_v1(line: &[u8]) -> Option<Announced> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|word| *word == "PROXY")?;
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Announced::Proxy);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let parse = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, _, _) = (parse(source)?, parse(destination)?, destination_port);
    words
        .next()
        .is_none()
        .then_some(Announced::Client(SocketAddr::new(source, source_port)))
}

/// Decimal without sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

fn parse_v2(version_command: u8, family: u8, body: &[u8]) -> Result<Announced, ProxyError> {
    match version_command {
        0x20 => return Ok(Announced::Proxy),
        0x21 => {}
        _ => return Err(ProxyError::Wrong("unknown version or command")),
    }
    let short = ProxyError::Wrong("the addresses are cut off");
    match family {
        // AF_UNSPEC
        0x00 => Ok(Announced::Proxy),
        // TCP over IPv4: source, destination, two ports
        0x11 => match body.first_chunk::<12>() {
            Some([a, b, c, d, _, _, _, _, high, low, ..]) => {
                Ok(client(Ipv4Addr::new(*a, *b, *c, *d).into(), [*high, *low]))
            }
            None => Err(short),
        },
        // TCP over IPv6
        0x21 => match (body.first_chunk::<16>(), body.get(32..36)) {
            (Some(source), Some([high, low, _, _])) => {
                Ok(client(Ipv6Addr::from(*source).into(), [*high, *low]))
            }
            _ => Err(short),
        },
        _ => Err(ProxyError::Wrong("it is not about TCP over IP")),
    }
}

fn client(address: IpAddr, port: [u8; 2]) -> Announced {
    Announced::Client(SocketAddr::new(address, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// The outcome, and what is left in the stream.
    fn run(bytes: &[u8]) -> (Result<Announced, String>, usize) {
        let mut stream = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime
            .block_on(read(&mut stream))
            .map_err(|error| error.to_string());
        (outcome, stream.len())
    }

    fn announced(text: &str) -> Result<Announced, String> {
        Ok(Announced::Client(text.parse().unwrap()))
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_1() {
        let (client, left) = run(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 5222\r\n\x16\x03");
        assert_eq!((client, left), (announced("192.0.2.1:56324"), 2));
        assert_eq!(
            run(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n<").0,
            announced("[2001:db8::1]:1")
        );
        assert_eq!(
            run(b"PROXY UNKNOWN ffff::1 x\r\n<"),
            (Ok(Announced::Proxy), 1)
        );
        for wrong in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 5222 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 5222\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 5222\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 5222\r\n",
            "PROXY TCP4 ::1 ::1 1 5222\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 5222\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 5222\r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "<stream:stream xmlns='jabber:client'>",
            "PROXY TCP4 192.0.2.1",
        ] {
            assert!(run(wrong.as_bytes()).0.is_err(), "{wrong}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert!(run(endless.as_bytes()).0.unwrap_err().contains("too long"));
    }

    #[test]
    fn version_2() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0, 99, 0, 1, 0xEE, 0, 1, 7];
        let (client, left) = run(&[v2(0x21, 0x11, &v4), b"<".to_vec()].concat());
        assert_eq!((client, left), (announced("192.0.2.1:99"), 1));
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[33] = 80;
        assert_eq!(run(&v2(0x21, 0x21, &v6)).0, announced("[::1]:80"));
        assert_eq!(run(&v2(0x20, 0x11, &v4)).0, Ok(Announced::Proxy));
        assert_eq!(run(&v2(0x21, 0x00, &[])).0, Ok(Announced::Proxy));
        for (command, family, length) in [
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x21, 0x12, 12),
            (0x21, 0x31, 216),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x11, 1025),
        ] {
            assert!(
                run(&v2(command, family, &vec![0; length])).0.is_err(),
                "{command:x} {family:x} {length}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), second in any::<bool>()) {
            let front: &[u8] = if second { SIGNATURE } else { b"PROXY TCP4 " };
            let _ = run(&[front, &bytes].concat());
        }
    }
}
