//! A chat client that is a web page: the files of Converse.js, from a folder, and the page that starts it

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use serde_json::json;

use crate::hooks::page::escaped;
use crate::hooks::{
    Deps, HttpContent, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Info, Module, ModuleError,
    Registrar,
};
use crate::settings;

settings! {
    /// A chat client that people open in a browser: Converse.js, whose files you put into a folder.
    pub struct Config {
        /// The folder with its files: what `dist` of the npm package converse.js has. Nothing is served unless one is named.
        pub folder: Option<PathBuf> = None => example("\"/var/lib/waxwing/converse\"");
        /// The path of its page.
        pub path: String = "/chat".to_owned();
        /// Its script, in the folder.
        pub script: String = "converse.min.js".to_owned();
        /// Its style sheet, in the folder.
        pub style: String = "converse.min.css".to_owned();
    }
}

/// The name of the script that starts the client; it is made here.
const START: &str = "/start.js";
/// How long browsers may keep its files without asking whether they changed.
const AGE: &str = "public, max-age=600";
/// What the page may load: its own files, pictures and sounds of messages from anywhere, connections by TLS.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
     img-src * data: blob:; media-src * blob:; connect-src 'self' wss: https:; font-src 'self' data:; worker-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The types of files that browsers are to understand.
const TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("ico", "image/x-icon"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
];

/// Serves the client.
pub struct WebClient {
    path: String,
    folder: Option<Arc<Path>>,
    page: Bytes,
    start: Bytes,
}

impl Module for WebClient {
    const INFO: Info = Info {
        name: "web_client",
        specs: &[],
        doc: "A chat client as a web page.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let wrong = |reason: String| ModuleError {
            module: Self::INFO.name,
            reason,
        };
        if !is_path(&config.path) {
            return Err(wrong("`path` is a path, such as \"/chat\"".to_owned()));
        }
        if let Some(folder) = &config.folder {
            for file in [&config.script, &config.style] {
                let path = folder.join(file);
                if !path.is_file() {
                    let path = path.display();
                    return Err(wrong(format!(
                        "there is no file {path}; put the client there"
                    )));
                }
            }
        }
        let host = deps.host.domain();
        Ok(WebClient {
            page: page(&config, host).into(),
            start: start(&config.path, host, deps).into(),
            path: config.path,
            folder: config.folder.map(Into::into),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let Some(folder) = self.folder.clone() else {
            return;
        };
        let route = HttpRoute::new(HttpMethod::Get, self.path.clone());
        r.http(route, move |request: HttpRequest| {
            let (this, folder) = (self.clone(), folder.clone());
            async move {
                match request.rest.as_str() {
                    "" | "/" => made(&this.page, "text/html; charset=utf-8")
                        .with_header("content-security-policy", POLICY)
                        .with_header("referrer-policy", "no-referrer"),
                    START => made(&this.start, "text/javascript; charset=utf-8"),
                    rest => {
                        file(
                            folder.join(rest.trim_start_matches('/')),
                            request.headers.get("if-none-match"),
                        )
                        .await
                    }
                }
            }
        });
    }
}

fn is_path(path: &str) -> bool {
    let names = path.strip_prefix('/').map(|rest| rest.split('/'));
    names.is_some_and(|mut names| {
        names.all(|name| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && name != ".." && name != "." && name.chars().all(plain)
        })
    })
}

/// The page: nothing but the client.
fn page(config: &Config, host: &str) -> String {
    let [path, script, style, host] =
        [&config.path, &config.script, &config.style, host].map(escaped);
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{host}</title><link rel=\"stylesheet\" href=\"{path}/{style}\">\
         <script type=\"module\" src=\"{path}/{script}\"></script><script type=\"module\" src=\"{path}{START}\"></script>\
         </head><body class=\"converse-fullscreen\"><noscript>This chat needs JavaScript.</noscript></body></html>"
    )
}

/// The script that starts it. Where it connects the host says; if it does not, the client asks (XEP-0156).
fn start(path: &str, host: &str, deps: &Deps) -> String {
    let url = |kind: &str| {
        let stream = deps.streams.iter().find(|stream| stream.kind == kind);
        stream.map(|stream| stream.url.clone())
    };
    let mut settings = json!({
        "view_mode": "fullscreen",
        "authentication": "login",
        "default_domain": host,
        "assets_path": format!("{path}/"),
        "discover_connection_methods": deps.streams.is_empty(),
    });
    for (name, kind) in [
        ("websocket_url", "websocket"),
        ("bosh_service_url", "xbosh"),
    ] {
        if let (Some(url), Some(settings)) = (url(kind), settings.as_object_mut()) {
            settings.insert(name.to_owned(), url.into());
        }
    }
    format!(
        "const start = () => converse.initialize({settings});\n\
         if (window.converse?.initialize) start();\n\
         else window.addEventListener(\"converse-loaded\", start);\n"
    )
}

/// What is made here and may be another after a reload.
fn made(text: &Bytes, media: &str) -> HttpResponse {
    HttpResponse::new(200)
        .with_header("content-type", media)
        .with_header("cache-control", "no-cache")
        .with_header("x-content-type-options", "nosniff")
        .with_content(HttpContent::Bytes(text.clone()))
}

/// A file of the folder, unless the browser has it.
async fn file(path: PathBuf, known: Option<&str>) -> HttpResponse {
    let media = path.extension().and_then(|ending| ending.to_str());
    let media = TYPES.iter().find(|(ending, _)| Some(*ending) == media);
    let media = media.map_or("application/octet-stream", |(_, media)| media);
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    let (file, length, tag) = match opened {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return HttpResponse::text(404, "There is no such file."),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a file of the web client cannot be read");
            return HttpResponse::text(500, "This file cannot be read.");
        }
        Err(_) => return HttpResponse::text(500, "This file cannot be read."),
    };
    let (status, content) = match known == Some(tag.as_str()) {
        true => (304, HttpContent::Empty),
        false => (200, HttpContent::File(file, length)),
    };
    HttpResponse::new(status)
        .with_header("content-type", media)
        .with_header("cache-control", AGE)
        .with_header("etag", tag)
        .with_header("x-content-type-options", "nosniff")
        .with_content(content)
}

/// A file with its length and what tells it from another; nothing if it is none, or hidden.
fn open(path: &Path) -> io::Result<Option<(File, u64, String)>> {
    let name = path.file_name().and_then(|name| name.to_str());
    if name.is_none_or(|name| name.starts_with('.')) {
        return Ok(None);
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let changed = metadata.modified().ok();
    let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed = changed.map_or(0, |at| at.as_nanos());
    let tag = format!("\"{:x}-{changed:x}\"", metadata.len());
    Ok(Some((File::open(path)?, metadata.len(), tag)))
}
