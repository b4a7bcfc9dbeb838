//! Files on their way in and out, over HTTP (XEP-0363 §7).

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::Shared;
use super::answer::Plan;
use super::url::{key_in, token_in};
use super::wish::essence;
use crate::hooks::{HttpBody, HttpBodyError, HttpContent, HttpRequest, HttpResponse};
use crate::state::files::{Draft, File, FileError, Id, NotTaken};
use crate::store::CommitError;

/// Headers that scripts may send with a file, and with a request for one.
pub(super) const PUT_HEADERS: &[&str] = &["content-type", "authorization"];
pub(super) const GET_HEADERS: &[&str] = &["range", "if-match", "if-none-match", "if-range"];

/// Takes a file.
pub(super) async fn put(shared: Arc<Shared>, request: HttpRequest) -> HttpResponse {
    match take(&shared, request).await {
        Ok(hash) => HttpResponse::new(201).with_header("etag", format!("\"{hash}\"")),
        Err(refused) => refused,
    }
}

/// Answers for a file.
pub(super) async fn get(shared: Arc<Shared>, request: HttpRequest) -> HttpResponse {
    let id = token_in(&request.rest).map(Id::of_token);
    let now = shared.clock.wall();
    let found = match found(&shared, id).await {
        Ok(file) => file.filter(|file| !file.is_over(now)),
        Err(refused) => return refused,
    };
    let stored = found.and_then(|file| Some((id?, file.hash.clone()?, file)));
    let Some((id, hash, file)) = stored else {
        return nothing();
    };
    let plan = Plan::of(&file, &hash, &request.headers, now);
    let content = match plan.part {
        None => HttpContent::Empty,
        Some(part) => match shared.desk.storage().open(id, part.from, part.bytes).await {
            Ok(Some(content)) => content,
            Ok(None) => return nothing(),
            Err(error) => return broken(&file, &error),
        },
    };
    shared.figures.downloads.count();
    let response = HttpResponse::new(plan.status).with_content(content);
    let headers = plan.headers.into_iter();
    headers.fold(response, |response, (name, value)| {
        response.with_header(name, value)
    })
}

async fn found(shared: &Shared, id: Option<Id>) -> Result<Option<File>, HttpResponse> {
    let Some(id) = id else { return Ok(None) };
    shared.desk.find(id).await.map_err(|error| {
        tracing::error!(%error, "what is known of a file cannot be read; run `waxwing check`");
        HttpResponse::text(500, "This cannot be read.")
    })
}

/// Whoever guesses learns nothing: a file that is gone, one that has not come yet, and one that never was.
fn nothing() -> HttpResponse {
    HttpResponse::text(404, "There is no such file.")
}

fn broken(file: &File, error: &io::Error) -> HttpResponse {
    tracing::error!(account = %file.account, %error, "a file cannot be read");
    HttpResponse::text(500, "This file cannot be read.")
}

/// Takes the file of a slot; its hash.
async fn take(shared: &Arc<Shared>, request: HttpRequest) -> Result<String, HttpResponse> {
    let id = token_in(&request.rest).map(Id::of_token);
    let file = found(shared, id).await?;
    let (Some(id), Some(file)) = (id, file) else {
        return Err(nothing());
    };
    let now = shared.clock.wall();
    fits(&file, &request, now)?;
    let most = shared.config.uploads_each as usize;
    let _taken = shared
        .desk
        .take(id, file.owner(), most)
        .map_err(|why| match why {
            NotTaken::Already => HttpResponse::text(409, "This file is being uploaded."),
            NotTaken::TooMany => {
                shared.figures.uploads_each.count();
                later("Too many of your files are being uploaded.")
            }
        })?;
    let Ok(_place) = shared.uploads.clone().try_acquire_owned() else {
        shared.figures.uploads.count();
        return Err(later("Too many files are being uploaded."));
    };
    let time = shared.config.upload_time.0;
    let written = tokio::time::timeout(time, write(shared, id, &file, request.body)).await;
    let hash = written
        .unwrap_or_else(|_| Err(HttpResponse::text(408, "This took too long.")))
        .inspect_err(|_| shared.figures.broken.count())?;
    shared.figures.stored.count();
    shared.figures.bytes.add(file.size);
    Ok(hash)
}

/// Whether a request is for this slot, and is what was asked for.
fn fits(file: &File, request: &HttpRequest, now: u64) -> Result<(), HttpResponse> {
    let key = key_in(request.query.as_deref());
    if !key.is_some_and(|key| file.opens(key)) {
        return Err(HttpResponse::text(
            403,
            "This is not the address to upload to.",
        ));
    }
    if file.is_stored() {
        return Err(HttpResponse::text(409, "This file is there already."));
    }
    if file.is_over(now) {
        return Err(HttpResponse::text(
            403,
            "This slot is over; ask for another.",
        ));
    }
    match request.body.length() {
        None => return Err(HttpResponse::text(411, "How long is it?")),
        Some(length) if length > file.size => {
            return Err(HttpResponse::text(
                413,
                "This is longer than what was asked for.",
            ));
        }
        Some(length) if length < file.size => {
            return Err(HttpResponse::text(
                400,
                "This is shorter than what was asked for.",
            ));
        }
        Some(_) => {}
    }
    // §7: as it was asked for, if it was and this says.
    let media = request
        .headers
        .get("content-type")
        .filter(|_| !file.media.is_empty());
    match media.map(essence) {
        Some(media) if media.as_deref() != Some(&file.media) => Err(HttpResponse::text(
            415,
            "This is of another type than what was asked for.",
        )),
        _ => Ok(()),
    }
}

async fn write(
    shared: &Shared,
    id: Id,
    file: &File,
    body: HttpBody,
) -> Result<String, HttpResponse> {
    let storage = shared.desk.storage();
    let failed = |error| unwritten(file, &error);
    let mut draft = storage.begin(id).await.map_err(failed)?;
    receive(&mut draft, file, body).await?;
    let hash = storage.finish(draft).await.map_err(failed)?;
    let until = shared.until(file.purpose, file.latest, shared.clock.wall());
    match shared.desk.complete(id, &hash, until).await {
        Ok(()) => Ok(hash),
        Err(FileError::Gone) => Err(nothing()),
        Err(FileError::Commit(CommitError::Full | CommitError::ReadOnly) | FileError::Busy) => {
            Err(later("The server cannot store this now."))
        }
        Err(error) => {
            tracing::error!(account = %file.account, %error, "a file was not stored");
            Err(HttpResponse::text(500, "This cannot be stored."))
        }
    }
}

/// Writes a body as it comes.
async fn receive(draft: &mut Draft, file: &File, mut body: HttpBody) -> Result<(), HttpResponse> {
    let mut left = file.size;
    while let Some(piece) = body.piece().await.transpose() {
        let piece = piece.map_err(|why| match why {
            HttpBodyError::TooLarge => HttpResponse::text(413, "This is too long."),
            HttpBodyError::TooSlow => HttpResponse::text(408, "This is too slow."),
            HttpBodyError::CutOff => HttpResponse::text(400, "This is not all of it."),
        })?;
        let rest = left.checked_sub(piece.len() as u64);
        left = rest.ok_or_else(other_length)?;
        let written = draft.write(&piece).await;
        written.map_err(|error| unwritten(file, &error))?;
    }
    match left {
        0 => Ok(()),
        _ => Err(other_length()),
    }
}

fn other_length() -> HttpResponse {
    HttpResponse::text(400, "This is not as long as it said.")
}

fn unwritten(file: &File, error: &io::Error) -> HttpResponse {
    if error.kind() == ErrorKind::StorageFull {
        return HttpResponse::text(507, "The server has no more room.");
    }
    tracing::error!(account = %file.account, %error, "a file cannot be written");
    HttpResponse::text(500, "This cannot be stored.")
}

fn later(text: &str) -> HttpResponse {
    HttpResponse::text(503, text).with_header("retry-after", "10")
}
