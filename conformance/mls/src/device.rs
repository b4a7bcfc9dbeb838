//! A device: a member, its connection, and a diary of all it went through.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::Fault;
use crate::diary::{Diary, Page};
use crate::member::{
    Change, Commit, Content, Heard, Kind, Member, Place, account_of, content_of, epoch_of, member,
    owner_of,
};
use crate::post::{Accounts, Answer, Arrival, Entry, Post, Trouble};
use crate::task::{Done, Task, Wish};

/// How often a commit is tried that others are always faster than.
const TRIES: usize = 400;
/// How long it waits for the state of a new epoch.
const PAUSE: Duration = Duration::from_millis(50);
/// How often and in what intervals a device knocks at a service that is not there.
const KNOCKS: (usize, Duration) = (600, Duration::from_millis(100));

/// Tells a running device what to do.
#[derive(Clone)]
pub struct Handle {
    /// Who it is.
    pub identity: String,
    orders: mpsc::UnboundedSender<Order>,
}

type Order = (Task, oneshot::Sender<Result<Done, Fault>>);

impl Handle {
    /// Gives the device a task and waits until it is done.
    pub async fn ask(&self, task: Task) -> Result<Done, Fault> {
        let (answer, answered) = oneshot::channel();
        let what = format!("{} {task:?}", self.identity);
        self.orders
            .send((task, answer))
            .map_err(|_| format!("{what}: it has ended"))?;
        let done = answered.await.map_err(|_| format!("{what}: it ended"))?;
        done.map_err(|fault| format!("{what}: {fault}").into())
    }

    /// Its diary.
    pub async fn diary(&self) -> Result<Diary, Fault> {
        match self.ask(Task::Report).await? {
            Done::Diary(diary) => Ok(*diary),
            _ => Err("no diary".into()),
        }
    }
}

/// Starts a device, which is not connected yet.
pub fn start<P: Post>(kind: Kind, identity: &str, post: P) -> Result<Handle, Fault> {
    let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
    let mut device = Device {
        member: member(kind, identity)?,
        post,
        there: false,
        own: HashMap::new(),
        seen: HashSet::new(),
        early: Vec::new(),
        pending: None,
        winner: None,
        failed: None,
        diary: Diary {
            identity: identity.to_owned(),
            ..Diary::default()
        },
    };
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                biased;
                order = ordered.recv() => order,
                arrival = device.post.next(), if device.there => {
                    // A fault stands in the diary; the next task tells it.
                    if let Err(fault) = device.arrived(arrival).await {
                        device.there = false;
                        device.failed = Some(fault);
                    }
                    continue;
                }
            };
            let Some((task, answer)) = order else { return };
            let done = device.work(task).await;
            // Nobody waits for the answer any more when the whole run has failed.
            let _ = answer.send(done);
        }
    });
    Ok(Handle {
        identity: identity.to_owned(),
        orders,
    })
}

struct Device<P> {
    member: Box<dyn Member>,
    post: P,
    there: bool,
    /// What it sent to the group.
    own: HashMap<Vec<u8>, Own>,
    seen: HashSet<String>,
    /// The pages with messages that came before the welcome message.
    early: Vec<usize>,
    /// A commit whose place is not known yet.
    pending: Option<Vec<u8>>,
    /// What the service said was faster.
    winner: Option<Vec<u8>>,
    /// What went wrong while there was no task.
    failed: Option<Fault>,
    diary: Diary,
}

#[derive(Default)]
struct Own {
    text: Option<String>,
    placed: bool,
}

impl<P: Post> Device<P> {
    async fn work(&mut self, task: Task) -> Result<Done, Fault> {
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        match task {
            Task::Publish(count) => self.publish(count).await,
            Task::Create(group) => {
                self.member.create(&group)?;
                self.note_place();
                while let Err(trouble) = self.post.found(&group).await {
                    self.recover(trouble).await?;
                }
                Ok(Done::Yes)
            }
            Task::Change(wish) => self.change(&wish).await,
            Task::Enter(state) => self.enter(state).await,
            Task::State => Ok(Done::State(self.member.state()?)),
            Task::Say(text) => self.say(&text).await,
            Task::Leave => self.leave().await,
            Task::SeeOff(identity) => self.see_off(&identity).await,
            Task::Go => {
                self.there = false;
                self.post.go().await;
                Ok(Done::Yes)
            }
            Task::Come => self.come().await.map(|()| Done::Yes),
            Task::Settle(last) => {
                while !self.seen.contains(&last) {
                    self.wait().await?;
                }
                Ok(Done::Yes)
            }
            Task::Join => {
                self.membership().await?;
                Ok(Done::Yes)
            }
            Task::Report => Ok(Done::Diary(Box::new(self.diary.clone()))),
        }
    }

    /// Waits for the welcome message of who has been added.
    async fn membership(&mut self) -> Result<(), Fault> {
        while self.member.place().is_none() {
            self.wait().await?;
        }
        Ok(())
    }

    async fn publish(&mut self, count: usize) -> Result<Done, Fault> {
        let mut packages = vec![self.member.key_package(true)?];
        for _ in 0..count {
            packages.push(self.member.key_package(false)?);
        }
        while let Err(trouble) = self.post.publish(&packages).await {
            self.recover(trouble).await?;
        }
        Ok(Done::Yes)
    }

    /// Commits until the wish is fulfilled: who is beaten goes on from the winner.
    async fn change(&mut self, wish: &Wish) -> Result<Done, Fault> {
        self.membership().await?;
        let mut taken = BTreeMap::new();
        for _ in 0..TRIES {
            let Some(place) = self.standing() else {
                return Ok(Done::NoMember);
            };
            let Some(change) = self.plan(wish, &place, &mut taken).await? else {
                return Ok(Done::Yes);
            };
            let commit = self.member.commit(&change)?;
            self.own.insert(commit.message.clone(), Own::default());
            self.pending = Some(commit.message.clone());
            if self
                .pushed(&commit.message, &accounts(&place, wish))
                .await?
            {
                self.tell_state().await?;
                self.welcome(wish, &place, &commit).await?;
                return Ok(Done::Yes);
            }
        }
        Err("others were always faster".into())
    }

    /// Whoever begins an epoch gives its state to those who join by themselves.
    async fn tell_state(&mut self) -> Result<(), Fault> {
        while self.standing().is_some() {
            let state = self.member.state()?;
            match self.post.keep_state(&state).await {
                Ok(()) => break,
                Err(trouble) => self.recover(trouble).await?,
            }
        }
        Ok(())
    }

    /// Joins by its own commit, however often others are faster.
    async fn enter(&mut self, given: Option<Vec<u8>>) -> Result<Done, Fault> {
        let own = BTreeSet::from([account_of(self.member.identity()).to_owned()]);
        let accounts = Accounts {
            added: own,
            removed: BTreeSet::new(),
        };
        for _ in 0..TRIES {
            let state = match &given {
                Some(state) => Some(state.clone()),
                None => self.ask_state().await?,
            };
            // Whoever began the epoch has not told it yet.
            let Some(state) = state else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let commit = self.member.enter(&state)?;
            self.own.insert(commit.clone(), Own::default());
            self.pending = Some(commit.clone());
            match self.send(&commit, &accounts).await? {
                Answer::Barred => {
                    self.pending = None;
                    self.member.drop_commit()?;
                    return Ok(Done::Barred);
                }
                Answer::Taken { winner } => self.overtaken(&commit, winner)?,
                Answer::Accepted | Answer::Stale => {}
            }
            while self.pending.is_some() {
                self.wait().await?;
            }
            if self.is_placed(&commit) {
                self.tell_state().await?;
                return Ok(Done::Yes);
            }
        }
        Err("others were always faster".into())
    }

    /// The commit that was first may have come before the state that this one was made from was asked for.
    fn overtaken(&mut self, commit: &[u8], winner: Vec<u8>) -> Result<(), Fault> {
        let seen = self.diary.pages.iter();
        let mut seen = seen.filter(|(entry, _)| entry.message == winner);
        if self.pending.as_deref() == Some(commit) && seen.next().is_some() {
            self.pending = None;
            self.member.drop_commit()?;
            self.diary.beaten += 1;
        } else {
            self.winner = Some(winner);
        }
        Ok(())
    }

    async fn ask_state(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            match self.post.state().await {
                Ok(state) => return Ok(state),
                Err(trouble) => self.recover(trouble).await?,
            }
        }
    }

    /// What a commit has to change now; nothing if it is as wished. Key packages are taken once.
    async fn plan(
        &mut self,
        wish: &Wish,
        place: &Place,
        taken: &mut BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<Change>, Fault> {
        let devices = match wish {
            Wish::Update => return Ok(Some(Change::Update)),
            Wish::Remove(whom) => {
                let still = place.members.contains(whom);
                return Ok(still.then(|| Change::Remove(BTreeSet::from([whom.clone()]))));
            }
            Wish::Add(devices) => devices,
        };
        let mut packages = Vec::new();
        for device in devices.difference(&place.members) {
            if !taken.contains_key(device) {
                taken.extend(self.take(account_of(device)).await?);
            }
            let package = taken
                .get(device)
                .ok_or_else(|| format!("no key package of {device}"))?;
            packages.push(package.clone());
        }
        Ok((!packages.is_empty()).then_some(Change::Add(packages)))
    }

    /// A key package of each device of the account, by the identity.
    async fn take(&mut self, account: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        loop {
            match self.post.take(account).await {
                Ok(packages) => {
                    let named = |package: Vec<u8>| Ok((owner_of(&package)?, package));
                    return packages.into_iter().map(named).collect();
                }
                Err(trouble) => self.recover(trouble).await?,
            }
        }
    }

    async fn welcome(&mut self, wish: &Wish, before: &Place, commit: &Commit) -> Result<(), Fault> {
        let (Wish::Add(devices), Some(welcome)) = (wish, &commit.welcome) else {
            return Ok(());
        };
        for device in devices.difference(&before.members) {
            while let Err(trouble) = self.post.welcome(device, welcome).await {
                self.recover(trouble).await?;
            }
        }
        Ok(())
    }

    /// Sends the pending commit; whether it was the first of its epoch.
    async fn pushed(&mut self, commit: &[u8], accounts: &Accounts) -> Result<bool, Fault> {
        self.winner = None;
        if let Answer::Taken { winner } = self.send(commit, accounts).await? {
            self.winner = Some(winner);
        }
        while self.pending.is_some() {
            self.wait().await?;
        }
        Ok(self.is_placed(commit))
    }

    async fn say(&mut self, text: &str) -> Result<Done, Fault> {
        self.membership().await?;
        for _ in 0..TRIES {
            if self.standing().is_none() {
                return Ok(Done::NoMember);
            }
            if self.member.must_commit() {
                self.change(&Wish::Update).await?;
                continue;
            }
            let message = self.member.write(text)?;
            let own = Own {
                text: Some(text.to_owned()),
                placed: false,
            };
            self.own.insert(message.clone(), own);
            if self.send(&message, &Accounts::default()).await? == Answer::Accepted {
                while !self.is_placed(&message) {
                    self.wait().await?;
                }
                return Ok(Done::Yes);
            }
        }
        Err("the text was always late".into())
    }

    /// A proposal is good for one epoch: it is made again until somebody has carried it out.
    async fn leave(&mut self) -> Result<Done, Fault> {
        self.membership().await?;
        let mut proposed = None;
        while let Some(place) = self.standing() {
            if proposed == Some(place.epoch) {
                self.wait().await?;
                continue;
            }
            let proposal = self.member.leave()?;
            self.own.insert(proposal.clone(), Own::default());
            self.send(&proposal, &Accounts::default()).await?;
            proposed = Some(place.epoch);
        }
        Ok(Done::Yes)
    }

    async fn see_off(&mut self, identity: &str) -> Result<Done, Fault> {
        self.membership().await?;
        while let Some(place) = self.standing() {
            if !place.members.contains(identity) {
                return Ok(Done::Yes);
            }
            match self.member.must_commit() {
                true => self.change(&Wish::Update).await.map(drop)?,
                false => self.wait().await?,
            }
        }
        Ok(Done::NoMember)
    }

    /// Sends until there is an answer. After a loss the archive tells whether the message arrived.
    async fn send(&mut self, message: &[u8], accounts: &Accounts) -> Result<Answer, Fault> {
        loop {
            match self.post.send(message, accounts).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => self.recover(trouble).await?,
            }
            let decided = self.pending.is_none() && content_of(message)? == Content::Commit;
            if decided || self.is_placed(message) {
                return Ok(Answer::Accepted);
            }
        }
    }

    fn is_placed(&self, message: &[u8]) -> bool {
        self.own.get(message).is_some_and(|own| own.placed)
    }

    async fn wait(&mut self) -> Result<(), Fault> {
        let arrival = self.post.next().await;
        self.arrived(arrival).await
    }

    async fn arrived(&mut self, arrival: Result<Arrival, Trouble>) -> Result<(), Fault> {
        match arrival {
            Ok(Arrival::Entry(entry)) => self.take_in(entry),
            Ok(Arrival::Welcome { id, message }) => {
                self.join(&message)?;
                while let Err(trouble) = self.post.received(&id).await {
                    self.recover(trouble).await?;
                }
                Ok(())
            }
            Err(trouble) => self.recover(trouble).await,
        }
    }

    async fn recover(&mut self, trouble: Trouble) -> Result<(), Fault> {
        match trouble {
            Trouble::Lost(_) => {
                self.diary.lost += 1;
                self.come().await
            }
            Trouble::Wrong(fault) => Err(fault),
        }
    }

    async fn come(&mut self) -> Result<(), Fault> {
        self.there = true;
        let (knocks, interval) = KNOCKS;
        let mut why = String::new();
        for _ in 0..knocks {
            let last = self.diary.pages.last().map(|(entry, _)| entry.id.as_str());
            match self.post.come(last).await {
                Ok(missed) => return missed.into_iter().try_for_each(|entry| self.take_in(entry)),
                Err(Trouble::Lost(last)) => why = last,
                Err(Trouble::Wrong(fault)) => return Err(fault),
            }
            tokio::time::sleep(interval).await;
        }
        Err(format!("the service does not come back: {why}").into())
    }

    fn take_in(&mut self, entry: Entry) -> Result<(), Fault> {
        if !self.seen.insert(entry.id.clone()) {
            return Ok(());
        }
        let page = match self.member.place().is_some() || self.pending.is_some() {
            true => self.read(&entry)?,
            false => {
                self.early.push(self.diary.pages.len());
                Page::Sealed("no member yet".to_owned())
            }
        };
        self.note_removal(&page, self.diary.pages.len());
        self.diary.pages.push((entry, page));
        Ok(())
    }

    fn join(&mut self, welcome: &[u8]) -> Result<(), Fault> {
        // After a loss it may have been sent twice.
        if self.member.place().is_some() {
            return Ok(());
        }
        self.member.join(welcome)?;
        self.note_place();
        for at in std::mem::take(&mut self.early) {
            let Some(entry) = self.diary.pages.get(at).map(|(entry, _)| entry.clone()) else {
                continue;
            };
            let page = self.read(&entry)?;
            self.note_removal(&page, at);
            if let Some((_, sealed)) = self.diary.pages.get_mut(at) {
                *sealed = page;
            }
        }
        Ok(())
    }

    fn read(&mut self, entry: &Entry) -> Result<Page, Fault> {
        let epoch = epoch_of(&entry.message)?;
        if let Some(own) = self.own.get_mut(&entry.message) {
            own.placed = true;
            if let Some(text) = own.text.take() {
                self.diary.said.push((epoch, text));
            }
            let outside = self.member.place().is_none();
            if self.pending.as_ref() == Some(&entry.message) {
                self.pending = None;
                self.member.confirm()?;
                self.note_place();
            }
            if outside {
                // What came before is of epochs in which it was no member.
                self.early.clear();
                return Ok(Page::Entered);
            }
            return Ok(Page::Own);
        }
        let pending = self.pending.as_deref().map(epoch_of).transpose()?;
        if pending == Some(epoch) && content_of(&entry.message)? == Content::Commit {
            self.pending = None;
            self.member.drop_commit()?;
            self.diary.beaten += 1;
            if self
                .winner
                .take()
                .is_some_and(|winner| winner != entry.message)
            {
                return Err("the service named another commit as the first".into());
            }
        }
        Ok(match self.member.read(&entry.message) {
            Ok(Heard::Commit { removed }) => {
                if !removed {
                    self.note_place();
                }
                Page::Heard(Heard::Commit { removed })
            }
            Ok(heard) => Page::Heard(heard),
            Err(fault) => Page::Sealed(fault.to_string()),
        })
    }

    /// Where it is, while it is a member.
    fn standing(&self) -> Option<Place> {
        self.member.place().filter(|_| self.diary.removed.is_none())
    }

    fn note_removal(&mut self, page: &Page, at: usize) {
        if *page == Page::Heard(Heard::Commit { removed: true }) {
            self.diary.removed = Some(at);
        }
    }

    fn note_place(&mut self) {
        if let Some(place) = self.member.place() {
            self.diary.places.insert(place.epoch, place);
        }
    }
}

fn accounts(place: &Place, wish: &Wish) -> Accounts {
    let of = |identities: &BTreeSet<String>| -> BTreeSet<String> {
        identities
            .iter()
            .map(|identity| account_of(identity).to_owned())
            .collect()
    };
    let mut after = place.members.clone();
    match wish {
        Wish::Add(devices) => after.extend(devices.iter().cloned()),
        Wish::Remove(whom) => drop(after.remove(whom)),
        Wish::Update => {}
    }
    let (before, after) = (of(&place.members), of(&after));
    Accounts {
        added: after.difference(&before).cloned().collect(),
        removed: before.difference(&after).cloned().collect(),
    }
}
