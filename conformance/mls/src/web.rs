//! What is too large for a stanza goes by HTTPS (XEP-0363): no more of HTTP than that takes.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::Fault;
use crate::client::Trust;
use crate::post::Trouble;

/// Bytes of what is fetched.
const LARGEST: usize = 16 << 20;
/// And of all that stands before it.
const HEAD: usize = 64 << 10;
/// How often and in what intervals it is tried: all who are added come at once, and the server may be away.
const TRIES: (usize, Duration) = (50, Duration::from_millis(200));

/// Where something lies, and by what it is known.
#[derive(Clone, Debug)]
pub(crate) struct Lies {
    pub(crate) url: String,
    pub(crate) size: usize,
    pub(crate) sha256: Vec<u8>,
}

/// Uploads something.
pub(crate) async fn put(trust: &Trust, url: &str, bytes: &[u8]) -> Result<(), Trouble> {
    let asked = ask(trust, "PUT", url, bytes, 0).await;
    match asked.map_err(|fault| Trouble::Lost(fault.to_string()))? {
        (201, _) => Ok(()),
        (status, _) => Err(Fault::from(format!("{url} was answered with {status}")).into()),
    }
}

/// Fetches something, and nothing else.
pub(crate) async fn get(trust: &Trust, lies: &Lies) -> Result<Vec<u8>, Trouble> {
    if lies.size > LARGEST {
        return Err(Fault::from(format!("{} bytes are too many", lies.size)).into());
    }
    let (tries, pause) = TRIES;
    let mut why = String::new();
    for _ in 0..tries {
        let (status, body) = match ask(trust, "GET", &lies.url, b"", lies.size).await {
            Ok(answer) => answer,
            Err(fault) => {
                why = fault.to_string();
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        let meant = body.len() == lies.size && Sha256::digest(&body)[..] == lies.sha256;
        return match status == 200 && meant {
            true => Ok(body),
            false => {
                let number = body.len();
                let what = format!("{number} other bytes at {}, {status}", lies.url);
                Err(Fault::from(what).into())
            }
        };
    }
    // It is offered again at the next login.
    Err(Trouble::Lost(why))
}

/// One request on a connection of its own: the status, and the body, which ends with the connection.
async fn ask(
    trust: &Trust,
    method: &str,
    url: &str,
    body: &[u8],
    most: usize,
) -> Result<(u16, Vec<u8>), Fault> {
    let rest = url.strip_prefix("https://").ok_or("not by HTTPS")?;
    let (authority, path) = rest.split_once('/').ok_or("no path")?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
    let socket = TcpStream::connect((host, port.parse::<u16>()?)).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let connector = trust.connector("http/1.1")?;
    let mut stream = connector.connect(name, socket).await?;
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut stream = stream.take((most + HEAD) as u64);
    // Not every server says that TLS ends before it ends the connection.
    if let Err(error) = stream.read_to_end(&mut answer).await
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Err(error.into());
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or("the answer has no end")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer)?;
    let status = head.split(' ').nth(1).ok_or("no status")?;
    Ok((status.parse()?, body))
}
