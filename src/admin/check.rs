//! `store check`: reads every record, and tells what does not fit together.

use super::acts::Acts;
use super::store::waiting;
use crate::hooks::command::{Act, ActError, Call};
use crate::state::consistency::{self, Trouble};
use crate::store::{Copied, survey};

/// Troubles told one by one; of more, only how many.
const TOLD: usize = 200;
const MIB: u64 = 1 << 20;

/// Does it; an error when something is wrong.
pub fn check<'a>(call: &'a Call, acts: &'a dyn Acts) -> Act<'a, ()> {
    Box::pin(async move {
        let (store, pace, out) = (acts.store().clone(), acts.pace(), call.report.clone());
        let work = move || {
            let view = store.frozen()?;
            let mut found = Found::default();
            let mut told = 0;
            let read = survey(
                &view,
                pace,
                |problem| {
                    found.add(
                        problem.to_string(),
                        "damaged: restore a backup, or live without this record",
                    )
                },
                |so_far: Copied| {
                    let mib = so_far.bytes / MIB;
                    let news = std::mem::replace(&mut told, mib) != mib;
                    !news || out.progress_blocking("MiB read", mib, None)
                },
            )?;
            let Some(read) = read else {
                return Err(ActError::Interrupted);
            };
            let owned = crate::state::owned::spaces(&store);
            consistency::check(&view, &owned, |trouble: Trouble| {
                found.add(trouble.what, trouble.advice);
            })?;
            Ok((read, found))
        };
        let (Copied { records, bytes }, found) = waiting(work).await?;
        let report = &call.report;
        let text = format!("{records} records, {} MiB read.", bytes.div_ceil(MIB));
        report.say(text).await?;
        if found.count == 0 {
            return report.say("Everything is as it should be.").await;
        }
        report.columns(&["what", "what to do"]).await?;
        for (what, advice) in found.told {
            report.row(vec![what, advice.to_owned()]).await?;
        }
        Err(ActError::Failed(format!(
            "troubles found: {}; make a backup of what is there before you change anything",
            found.count
        )))
    })
}

#[derive(Default)]
struct Found {
    count: u64,
    told: Vec<(String, &'static str)>,
}

impl Found {
    fn add(&mut self, what: String, advice: &'static str) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push((what, advice));
        }
    }
}
