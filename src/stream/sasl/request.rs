//! The `<authenticate/>` of SASL2, parsed (XEP-0388 1.0.4 §2.3), with the wishes it carries (XEP-0198, XEP-0386, XEP-0480).

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::failure::SaslCondition;
use super::hash::ScramHash;
use super::profile;
use crate::proto::{Condition, ns};
use crate::stream::bind2::{self, Bind2};
use crate::stream::question::UserAgent;
use crate::stream::resume::{self, Resume};
use crate::stream::settings::Host;
use crate::stream::tables::When;
use crate::xml::{El, Element};

/// What is to happen besides authentication. Empty for SASL1.
#[derive(Debug, Default)]
pub(in crate::stream) struct Wishes {
    pub agent: UserAgent,
    /// Upgrade tasks, in the client's order.
    pub tasks: VecDeque<ScramHash>,
    /// `<resume/>` of XEP-0198, if it was there; done before anything else (§9.2).
    pub resume: Option<Result<Resume, Condition>>,
    pub bind: Option<Bind2>,
    pub before_bind: Vec<Element>,
    pub into_success: Vec<Element>,
}

/// The initial response, if there is one.
pub(in crate::stream) fn initial(
    authenticate: El<'_>,
) -> Result<Option<Zeroizing<Vec<u8>>>, SaslCondition> {
    let response = authenticate.child("initial-response", ns::SASL2);
    response.map(profile::data).transpose()
}

/// Everything else.
pub(in crate::stream) fn wishes(authenticate: El<'_>, host: &Host) -> Wishes {
    let inlines = &host.tables.inlines;
    let claimed = |when: When| {
        let children = authenticate.children();
        let wanted = children.filter(|child| {
            let mut of_moment = inlines.iter().filter(|inline| inline.when == when);
            of_moment.any(|inline| inline.tags.iter().any(|tag| tag.is(*child)))
        });
        wanted.map(El::to_element).collect()
    };
    Wishes {
        agent: user_agent(authenticate),
        tasks: tasks(authenticate, host),
        resume: authenticate.child("resume", ns::SM).map(resume::parse),
        bind: authenticate
            .child("bind", ns::BIND2)
            .map(|bind| bind2::parse(bind, &host.tables)),
        before_bind: claimed(When::BeforeBind),
        into_success: claimed(When::IntoSuccess),
    }
}

/// The upgrades asked for, each once, of those announced.
fn tasks(authenticate: El<'_>, host: &Host) -> VecDeque<ScramHash> {
    let mut tasks = VecDeque::new();
    for child in authenticate.children() {
        if !child.is("upgrade", ns::SASL_UPGRADE) {
            continue;
        }
        let name = child.text();
        let mut announced = host.mechanisms.upgrades.iter().copied();
        if let Some(hash) = announced.find(|hash| hash.upgrade_task() == name)
            && !tasks.contains(&hash)
        {
            tasks.push_back(hash);
        }
    }
    tasks
}

/// An id that is no UUID is no id; clients in the field are not strict about the version of theirs.
fn user_agent(authenticate: El<'_>) -> UserAgent {
    let Some(agent) = authenticate.child("user-agent", ns::SASL2) else {
        return UserAgent::default();
    };
    let word = |name: &str| {
        let text = agent.child(name, ns::SASL2)?.text().into_owned();
        (!text.is_empty() && text.len() <= WORD_MAX).then_some(text)
    };
    UserAgent {
        id: agent
            .attr("id")
            .filter(|id| is_uuid(id))
            .map(str::to_ascii_lowercase),
        software: word("software"),
        device: word("device"),
    }
}

/// Longest name of software or device kept, in bytes.
const WORD_MAX: usize = 256;

fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids() {
        assert!(is_uuid("d4565fa7-4d72-4749-b3d3-740edbf87770"));
        assert!(is_uuid("D4565FA7-4D72-4749-B3D3-740EDBF87770"));
        for wrong in [
            "",
            "d4565fa74d724749b3d3740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf8777",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "éé565fa7-4d72-4749-b3d3-740edbf877",
        ] {
            assert!(!is_uuid(wrong), "{wrong}");
        }
    }
}
