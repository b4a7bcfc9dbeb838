//! XEP-0156: Discovering Alternative XMPP Connection Methods (1.4.0)

use std::sync::Arc;

use serde_json::json;

use crate::hooks::{
    Deps, HttpContent, HttpMethod, HttpResponse, HttpRoute, Info, Module, ModuleError, Registrar,
};
use crate::settings;
use crate::xml::{Element, write};

/// RFC 6415 §3.1.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
/// What stands before the kind of a connection (§2.1).
const RELATION: &str = "urn:xmpp:alt-connections:";
/// How long browsers may keep the answer.
const AGE: &str = "public, max-age=3600";

settings! {
    /// Tells web clients where they can connect, at /.well-known/host-meta and host-meta.json of the domain.
    pub struct Config {}
}

/// Tells web clients where they can connect.
pub struct HostMeta {
    xrd: Vec<u8>,
    jrd: Vec<u8>,
}

impl Module for HostMeta {
    const INFO: Info = Info {
        name: "host_meta",
        specs: &[("XEP-0156", "1.4.0")],
        doc: "Where web clients connect.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let links: Vec<_> = deps
            .streams
            .iter()
            .map(|stream| (format!("{RELATION}{}", stream.kind), stream.url.clone()))
            .collect();
        Ok(HostMeta {
            xrd: xrd(&links),
            jrd: jrd(&links),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        for (path, kind, text) in [
            ("/.well-known/host-meta", "application/xrd+xml", &self.xrd),
            ("/.well-known/host-meta.json", "application/json", &self.jrd),
        ] {
            let text = bytes::Bytes::from(text.clone());
            let route = HttpRoute::new(HttpMethod::Get, path).cors(&[]);
            r.http(route, move |request| {
                let answer = match request.rest.is_empty() {
                    true => HttpResponse::new(200)
                        .with_header("content-type", kind)
                        .with_header("cache-control", AGE)
                        .with_content(HttpContent::Bytes(text.clone())),
                    false => HttpResponse::text(404, "there is nothing here"),
                };
                async { answer }
            });
        }
    }
}

/// In XML (RFC 6415 §3).
fn xrd(links: &[(String, String)]) -> Vec<u8> {
    let mut xrd = Element::new("XRD", XRD);
    for (rel, href) in links {
        let link = Element::new("Link", XRD)
            .with_attr("rel", rel)
            .with_attr("href", href);
        xrd = xrd.with_child(link);
    }
    let mut text = b"<?xml version='1.0' encoding='utf-8'?>\n".to_vec();
    write::element(xrd.root(), "", &mut text);
    text.push(b'\n');
    text
}

/// In JSON (RFC 6415, appendix A).
fn jrd(links: &[(String, String)]) -> Vec<u8> {
    let links = links
        .iter()
        .map(|(rel, href)| json!({ "rel": rel, "href": href }));
    let jrd = json!({ "links": links.collect::<Vec<_>>() });
    format!("{jrd}\n").into_bytes()
}
