//! The other end of the control socket.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::socket::Request;
use crate::hooks::command::Line;

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// Connects; `None` when no server answers there.
    ///
    /// # Errors
    /// What the system says, such as `PermissionDenied`.
    pub async fn connect(path: &Path) -> io::Result<Option<Self>> {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                let (reader, writer) = stream.into_split();
                Ok(Some(Self {
                    lines: BufReader::new(reader).lines(),
                    writer,
                }))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// What the system says.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        self.writer.write_all(&bytes).await
    }

    /// The next line of the answer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server went away; what the system says.
    pub async fn line(&mut self) -> io::Result<Line> {
        let gone = || {
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server ended before it had answered",
            )
        };
        let line = self.lines.next_line().await?.ok_or_else(gone)?;
        Ok(serde_json::from_str(&line)?)
    }
}
