//! What administrators do with rooms: list them, end one, give one an owner. Nobody owns a room for being an
//! administrator; these acts are written down.

use std::sync::Arc;
use std::time::Duration;

use super::Service;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Offered};
use crate::hooks::{AskError, Question, Registrar};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::rooms;
use crate::xml::Element;

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");
const ROOM: Argument = Argument::needed("room", Kind::Text, "The room: its name or its address.");

/// How long a room may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rooms read at once.
const STEP: usize = 200;

pub(super) static DECLARED: [Command; 3] = [
    Command::of_host(
        "room list",
        "List rooms.",
        "waxwing:rooms#list",
        &[HOST],
        None,
    ),
    Command::of_host(
        "room destroy",
        "End a room, and remove all that was said there.",
        "waxwing:rooms#destroy",
        &[
            ROOM,
            Argument::optional("reason", Kind::Text, "What its occupants are told."),
            HOST,
        ],
        Some("End this room and remove all that was said there?"),
    ),
    Command::of_host(
        "room owner",
        "Make somebody an owner of a room.",
        "waxwing:rooms#owner",
        &[
            ROOM,
            Argument::needed("owner", Kind::Addresses, "Who becomes an owner."),
            HOST,
        ],
        None,
    ),
];

/// Offers the commands.
pub(super) fn offer(service: &Arc<Service>, r: &mut Registrar<'_>) {
    let [list, destroy, owner] = &DECLARED;
    let this = service.clone();
    r.command(Offered::new(list, move |call| act(&this, call, list_rooms)));
    let this = service.clone();
    r.command(Offered::new(destroy, move |call| {
        act(&this, call, destroy_room)
    }));
    let this = service.clone();
    r.command(Offered::new(owner, move |call| {
        act(&this, call, give_owner)
    }));
}

fn act<F>(service: &Arc<Service>, call: Call, f: fn(Arc<Service>, Call) -> F) -> Act<'static, ()>
where
    F: Future<Output = Result<(), ActError>> + Send + 'static,
{
    Box::pin(f(service.clone(), call))
}

async fn list_rooms(service: Arc<Service>, call: Call) -> Result<(), ActError> {
    let report = &call.report;
    let columns = [
        "room",
        "name",
        "occupants",
        "persistent",
        "public",
        "made by",
    ];
    report.columns(&columns).await?;
    let mut after = None::<String>;
    loop {
        let (domain, from) = (service.domain.clone(), after.take());
        let page = service
            .store
            .reading(move |view| rooms::list(view, domain.domain(), from.as_deref(), STEP))
            .await?;
        let through = page.len() < STEP;
        after = page.last().map(|(name, _)| name.clone());
        for (name, listing) in page {
            let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            report
                .row(vec![
                    format!("{name}@{}", service.domain),
                    listing.name,
                    service.live.occupied.occupants(&name).to_string(),
                    yes(listing.persistent),
                    yes(listing.public),
                    listing.creator,
                ])
                .await?;
        }
        if through {
            return Ok(());
        }
    }
}

async fn destroy_room(service: Arc<Service>, call: Call) -> Result<(), ActError> {
    let room = service.named(&call)?;
    let mut destroy = Element::new("destroy", ns::MUC_OWNER);
    if let Some(reason) = call.args.text("reason") {
        destroy = destroy.with_child(Element::new("reason", ns::MUC_OWNER).with_text(reason));
    }
    let query = Element::new("query", ns::MUC_OWNER).with_child(destroy);
    service.set(&room, query).await?;
    call.report.say(format!("{room} is no more.")).await
}

async fn give_owner(service: Arc<Service>, call: Call) -> Result<(), ActError> {
    let room = service.named(&call)?;
    let owners = call.args.addresses("owner");
    let item = |owner: &Jid| {
        Element::new("item", ns::MUC_ADMIN)
            .with_attr("affiliation", "owner")
            .with_attr("jid", owner.bare_str())
    };
    let query = Element::new("query", ns::MUC_ADMIN).with_children(owners.iter().map(item));
    service.set(&room, query).await?;
    call.report.say(format!("{room} has another owner.")).await
}

impl Service {
    /// The room that a command is about.
    fn named(&self, call: &Call) -> Result<Jid, ActError> {
        let text = call.args.text("room").unwrap_or_default();
        let room = match text.contains('@') {
            true => Jid::parse(text),
            false => Jid::new(Some(text), self.domain.domain(), None),
        };
        let room = room.ok().map(|room| room.bare());
        room.filter(|room| room.domain() == self.domain.domain() && room.node().is_some())
            .ok_or_else(|| ActError::Bad(format!("room: \"{text}\" is no room of {}", self.domain)))
    }

    /// Asks a room in the name of the host.
    pub(super) async fn set(&self, room: &Jid, query: Element) -> Result<(), ActError> {
        let (from, question) = (self.host.clone(), Question::Set(query));
        let asked = self.floor.ask(from, room.clone(), question, PATIENCE);
        match asked.await {
            Ok(_) => Ok(()),
            Err(AskError::Refused(error)) if error.condition == Condition::ItemNotFound => {
                Err(ActError::Bad(format!("there is no room {room}")))
            }
            Err(AskError::Refused(error)) => Err(ActError::NotAllowed(format!(
                "the room refused: {}",
                error.text.unwrap_or_else(|| error.condition.to_string())
            ))),
            Err(error) => Err(ActError::Failed(error.to_string())),
        }
    }
}
