//! What administrators do with reports: list them, look at one, and be done with it.

use std::sync::Arc;

use super::{Report, Reporting};
use crate::hooks::Registrar;
use crate::hooks::command::{Act, ActError, Argument, Call, Command, Kind, Offered};
use crate::proto::datetime;
use crate::proto::jid::Jid;
use crate::store::{Batch, Direction, Key, Mid, Range, Space, Store};

const HOST: Argument = Argument::optional("host", Kind::Host, "The domain.");
const ID: Argument = Argument::needed("id", Kind::Text, "Its number, as the list shows it.");

pub(super) static DECLARED: [Command; 3] = [
    Command::of_host(
        "report list",
        "List reports of spam and abuse, the newest first.",
        "waxwing:reports#list",
        &[
            Argument::optional(
                "limit",
                Kind::Number {
                    min: 1,
                    max: 10_000,
                },
                "How many at most [default: 50].",
            ),
            HOST,
        ],
        None,
    ),
    Command::of_host(
        "report show",
        "Show a report.",
        "waxwing:reports#show",
        &[ID, HOST],
        None,
    ),
    Command::of_host(
        "report dismiss",
        "Be done with a report: it is kept no longer.",
        "waxwing:reports#dismiss",
        &[
            Argument::needed("id", Kind::Text, "Its number, or \"all\"."),
            HOST,
        ],
        None,
    ),
];

/// What the commands need.
#[derive(Clone)]
struct Desk {
    host: Jid,
    store: Store,
}

/// Rows read, or removed, at once.
const PAGE: usize = 200;

/// Offers the commands.
pub(super) fn offer(reporting: &Arc<Reporting>, r: &mut Registrar<'_>) {
    let desk = Desk {
        host: reporting.host.clone(),
        store: reporting.store.clone(),
    };
    let [list, show, dismiss] = &DECLARED;
    let this = desk.clone();
    r.command(Offered::new(list, move |call| act(&this, call, Desk::list)));
    let this = desk.clone();
    r.command(Offered::new(show, move |call| act(&this, call, Desk::show)));
    r.command(Offered::new(dismiss, move |call| {
        act(&desk, call, Desk::dismiss)
    }));
}

fn act<F>(desk: &Desk, call: Call, f: fn(Desk, Call) -> F) -> Act<'static, ()>
where
    F: Future<Output = Result<(), ActError>> + Send + 'static,
{
    Box::pin(f(desk.clone(), call))
}

impl Desk {
    async fn list(self, call: Call) -> Result<(), ActError> {
        let report = &call.report;
        report
            .columns(&["id", "when", "by", "about", "reason"])
            .await?;
        let (mut left, mut before) = (call.args.number("limit").unwrap_or(50), None);
        while left > 0 {
            let page = self.page(before).await?;
            let Some((oldest, _)) = page.last() else {
                break;
            };
            before = Some(*oldest);
            for (mid, told) in self.of_here(page) {
                for one in told {
                    if left == 0 {
                        return Ok(());
                    }
                    left -= 1;
                    let when = datetime::format(one.at);
                    report
                        .row(vec![mid.to_string(), when, one.by, one.about, one.reason])
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn show(self, call: Call) -> Result<(), ActError> {
        let mid = self.named(&call)?;
        let report = &call.report;
        for one in self.find(mid).await? {
            report.fact("when", datetime::format(one.at)).await?;
            report.fact("by", one.by).await?;
            report.fact("about", one.about).await?;
            report.fact("reason", one.reason).await?;
            for (lang, text) in one.text {
                let lang = match lang.is_empty() {
                    true => String::new(),
                    false => format!(" ({lang})"),
                };
                report.fact("text", format!("{text}{lang}")).await?;
            }
            for (by, id) in one.messages {
                report.fact("message", format!("{id} by {by}")).await?;
            }
            let yes = |yes: bool| if yes { "yes" } else { "no" };
            let (origin, third) = (yes(one.report_origin), yes(one.third_party));
            report.fact("may go to its domain", origin).await?;
            report.fact("may go to third parties", third).await?;
        }
        Ok(())
    }

    async fn dismiss(self, call: Call) -> Result<(), ActError> {
        let mut gone = 0;
        if call.args.text("id") == Some("all") {
            let mut before = None;
            loop {
                let page = self.page(before).await?;
                let Some((oldest, _)) = page.last() else {
                    break;
                };
                before = Some(*oldest);
                let of_here: Vec<Mid> = self.of_here(page).map(|(mid, _)| mid).collect();
                gone += of_here.len();
                self.forget(&of_here).await?;
            }
        } else {
            let mid = self.named(&call)?;
            self.find(mid).await?;
            self.forget(&[mid]).await?;
            gone = 1;
        }
        call.report.say(format!("Dismissed: {gone}.")).await
    }

    fn named(&self, call: &Call) -> Result<Mid, ActError> {
        let id = call.args.text("id").unwrap_or_default();
        id.parse()
            .map_err(|_| ActError::Bad(format!("id: \"{id}\" is no number of a report")))
    }

    /// The reports of one request; those of accounts elsewhere are somebody else's.
    async fn find(&self, mid: Mid) -> Result<Vec<Report>, ActError> {
        let key = Key::new().mid(mid);
        let found = self
            .store
            .reading(move |view| view.get(Space::REPORT, &key))
            .await?;
        let told = found.map(|value| self.read(&value)).unwrap_or_default();
        match told.is_empty() {
            true => Err(ActError::Bad(format!("there is no report {mid}"))),
            false => Ok(told),
        }
    }

    async fn page(&self, before: Option<Mid>) -> Result<Vec<(Mid, Vec<u8>)>, ActError> {
        let range = Range::mids(&Key::new(), None, before);
        let rows = self
            .store
            .reading(move |view| view.scan(Space::REPORT, &range, Direction::Backward, PAGE));
        let rows = rows.await?.into_iter();
        Ok(rows
            .filter_map(|(key, value)| Some((Mid::from_bytes(key.try_into().ok()?), value)))
            .collect())
    }

    fn of_here(&self, page: Vec<(Mid, Vec<u8>)>) -> impl Iterator<Item = (Mid, Vec<Report>)> {
        let read = page
            .into_iter()
            .map(|(mid, value)| (mid, self.read(&value)));
        read.filter(|(_, told)| !told.is_empty())
    }

    /// What of it was reported by accounts of the host.
    fn read(&self, value: &[u8]) -> Vec<Report> {
        let mut told: Vec<Report> = serde_json::from_slice(value).unwrap_or_default();
        told.retain(|one| Jid::parse(&one.by).is_ok_and(|by| by.domain() == self.host.domain()));
        told
    }

    async fn forget(&self, mids: &[Mid]) -> Result<(), ActError> {
        let mut batch = Batch::new();
        for mid in mids {
            batch.delete(Space::REPORT, &Key::new().mid(*mid));
        }
        self.store.commit(batch).await?;
        Ok(())
    }
}
