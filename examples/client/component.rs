//! The other way in: as a component, which serves a domain of its own (XEP-0114).

use std::net::SocketAddr;

use waxwing::proto::ns;
use waxwing::stream::Secret;
use waxwing::stream::component::handshake;
use waxwing::xml::Element;

use super::connection::Event;
use super::error::Error;
use super::login::unexpected;
use super::{Builder, Client};

impl Builder {
    /// Connects as the component of the domain that stands for the account; the password is its secret.
    pub async fn attach(self, addr: SocketAddr) -> Result<Client, Error> {
        let secret = Secret::new(self.password.as_bytes());
        let mut component = self.open(addr).await?;
        let id = component.open_component().await?;
        let proof = Element::new("handshake", ns::CLIENT).with_text(&handshake(&id, &secret));
        component.send(proof).await?;
        let answered = component
            .expect("an answer to the handshake", |el| {
                el.is("handshake", ns::CLIENT)
            })
            .await;
        match &component.stream_error {
            Some(error) => Err(Error::Stream(error.clone())),
            None => answered.map(|_| component),
        }
    }
}

impl Client {
    /// Sends the header of a component's stream; the id of the one that answers.
    pub async fn open_component(&mut self) -> Result<String, Error> {
        let header = format!(
            "<stream:stream xmlns='{}' xmlns:stream='{}' to='{}'>",
            ns::COMPONENT,
            ns::STREAM,
            self.jid.domain()
        );
        self.send(header.as_str()).await?;
        match self.event("a stream header").await? {
            Event::Header(header) => Ok(header.attr("id").unwrap_or_default().to_owned()),
            other => Err(unexpected("a stream header", &other)),
        }
    }
}
