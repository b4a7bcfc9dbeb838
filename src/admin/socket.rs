//! The control socket: a Unix socket (mode 0600) for the server's own user and root.
//!
//! A request is one line of JSON, `{"command":"user add","arguments":{…}}`; the answer is a number of [`Line`]s, one JSON value a line,
//! of which the last is `"done"` or `{"failed":{…}}`. Any number of requests may follow each other on a connection.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use super::acts::Acts;
use super::command::ask;
use crate::hooks::command::{ActError, Caller, Given, Line, Report, Rights};

/// A request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A command's name.
    pub command: String,
    /// Its arguments by name.
    #[serde(default)]
    pub arguments: Given,
}

/// Connections at once.
const CONNECTIONS: usize = 16;
/// Longest request.
const REQUEST_BYTES: u64 = 64 * 1024;
/// Time in which a request must have come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bound control socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket. A file left by a server that was killed is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when a server answers there; what the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "a server answers there already",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers requests. Never ends by itself: drop the future to stop, which also stops what is under way.
    pub async fn serve(self, acts: Arc<dyn Acts>) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let acts = Arc::clone(&acts);
                    connections.spawn(async move {
                        let _seat = seat;
                        if let Err(error) = converse(stream, &acts).await {
                            debug!(%error, "a control connection ended");
                        }
                    });
                }
                Err(error) => {
                    warn!(%error, "the control socket cannot accept; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Without the file the next start is quicker; with it, it works as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse(stream: UnixStream, acts: &Arc<dyn Acts>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    let (reader, mut writer) = stream.into_split();
    if peer != own && peer != 0 {
        warn!(uid = peer, "refused on the control socket");
        return send(&mut writer, &Line::from(&ActError::Forbidden)).await;
    }
    let caller = Caller {
        name: format!("uid {peer} (control socket)"),
        jid: None,
        rights: Rights::Server,
    };
    let mut reader = BufReader::new(reader);
    while let Some(request) = tokio::time::timeout(PATIENCE, request(&mut reader)).await?? {
        answer(&request, &caller, acts, &mut writer).await?;
    }
    Ok(())
}

async fn request(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader
        .take(REQUEST_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a request is too long or was cut off",
        ));
    }
    Ok(Some(line))
}

async fn answer(
    request: &[u8],
    caller: &Caller,
    acts: &Arc<dyn Acts>,
    writer: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let request: Request = match serde_json::from_slice(request) {
        Ok(request) => request,
        Err(error) => {
            return send(
                writer,
                &Line::from(&ActError::Bad(format!("not a request: {error}"))),
            )
            .await;
        }
    };
    let (report, mut lines) = Report::new();
    let work =
        async move { ask(&request.command, &request.arguments, caller, acts, &report).await };
    let copy = async {
        let copied = copy(&mut lines, writer).await;
        lines.close(); // after a failed write this is what interrupts the work
        copied
    };
    let (result, copied) = tokio::join!(work, copy);
    copied?;
    let last = result.map_or_else(|error| Line::from(&error), |()| Line::Done);
    send(writer, &last).await
}

async fn copy(lines: &mut mpsc::Receiver<Line>, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        send(writer, &line).await?;
    }
    Ok(())
}

async fn send(writer: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    writer.write_all(&bytes).await
}
