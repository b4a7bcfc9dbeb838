//! What the devices go through: they are added, removed, updated, many at once, go away and come back, and write all the while.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use crate::Fault;
use crate::book::{self, Summary};
use crate::device::{Handle, start};
use crate::member::Kind;
use crate::post::{Entry, Post};
use crate::task::{Done, Task, Wish};

/// How long anything that all do at once may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where it is played.
pub trait Stage: Sync {
    /// How devices are connected.
    type Post: Post;

    /// A connection for a device, not yet open.
    fn post(&self, identity: &str) -> Result<Self::Post, Fault>;

    /// Whether messages of the group come to devices of others too.
    fn is_open(&self) -> bool;

    /// Whether devices join by themselves.
    fn may_enter(&self) -> bool;

    /// All messages of the group in their order.
    fn archive(&self) -> impl Future<Output = Result<Vec<Entry>, Fault>> + Send;

    /// Something bad happens to the service, and passes.
    fn trouble(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Script {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The identities of the devices, every other one on each implementation.
    pub devices: Vec<String>,
    /// How many of them are members at the beginning; more are added later, until there are no others.
    pub members: usize,
    /// How many rounds.
    pub rounds: usize,
    /// In which of them there is trouble.
    pub troubles: BTreeSet<usize>,
}

/// Plays it, and checks what must be true in the end.
pub async fn play<S: Stage>(stage: &S, script: &Script) -> Result<Summary, Fault> {
    let mut play = Play {
        stage,
        dice: Dice(script.seed),
        devices: Vec::new(),
        outside: Vec::new(),
        members: Vec::new(),
        least: (script.members * 3 / 4).max(2),
        away: BTreeSet::new(),
        texts: 0,
    };
    play.enter(script).await?;
    play.found(script.members).await?;
    for round in 0..script.rounds {
        play.round(script.troubles.contains(&round)).await?;
    }
    play.end().await
}

struct Play<'a, S> {
    stage: &'a S,
    dice: Dice,
    devices: Vec<Handle>,
    /// Indices of those who never were members.
    outside: Vec<usize>,
    /// Indices of those who are.
    members: Vec<usize>,
    /// So many stay at least.
    least: usize,
    away: BTreeSet<usize>,
    texts: usize,
}

impl<S: Stage> Play<'_, S> {
    async fn enter(&mut self, script: &Script) -> Result<(), Fault> {
        for (at, identity) in script.devices.iter().enumerate() {
            let kind = [Kind::OpenMls, Kind::MlsRs][at % 2];
            self.devices
                .push(start(kind, identity, self.stage.post(identity)?)?);
        }
        self.outside = (0..self.devices.len()).collect();
        let everybody = self.outside.clone();
        self.all(everybody.iter().map(|who| (*who, Task::Come)).collect())
            .await?;
        self.all(
            everybody
                .iter()
                .map(|who| (*who, Task::Publish(3)))
                .collect(),
        )
        .await
    }

    /// The first founds the group; members add the others, some of whom are away.
    async fn found(&mut self, members: usize) -> Result<(), Fault> {
        let founder = self.outside.remove(0);
        self.all(vec![(founder, Task::Create(b"sealed letters".to_vec()))])
            .await?;
        self.members.push(founder);
        while self.members.len() < members {
            let most = 1 + members / 4 + self.dice.below(members / 4);
            let count = most.min(members - self.members.len());
            let added: Vec<usize> = self
                .outside
                .drain(..count.min(self.outside.len()))
                .collect();
            let adder = self.actor(&BTreeSet::new()).ok_or("nobody is there")?;
            self.all(vec![(adder, self.adding(&added))]).await?;
            self.members.extend(added);
        }
        Ok(())
    }

    async fn round(&mut self, trouble: bool) -> Result<(), Fault> {
        let moves = self.moves();
        self.all(moves).await?;
        let mut tasks = Vec::new();
        let mut busy = BTreeSet::new();
        self.leaving(&mut tasks, &mut busy);
        let added = self.changes(&mut tasks, &mut busy);
        for _ in 0..1 + self.dice.below(4) {
            if let Some(writer) = self.actor(&busy) {
                busy.insert(writer);
                let text = self.text();
                tasks.push((writer, Task::Say(text)));
            }
        }
        match trouble {
            true => tokio::try_join!(self.all(tasks), self.stage.trouble()).map(drop)?,
            false => self.all(tasks).await?,
        }
        self.members.extend(added);
        Ok(())
    }

    /// Some go away, some come back.
    fn moves(&mut self) -> Vec<(usize, Task)> {
        let mut moves = Vec::new();
        for who in 0..self.devices.len() {
            let toss = self.dice.below(6);
            if self.away.contains(&who) && toss < 2 {
                self.away.remove(&who);
                moves.push((who, Task::Come));
            } else if toss == 5 && self.away.len() + 2 < self.members.len() {
                self.away.insert(who);
                moves.push((who, Task::Go));
            }
        }
        moves
    }

    /// One may leave, and another sees to it.
    fn leaving(&mut self, tasks: &mut Vec<(usize, Task)>, busy: &mut BTreeSet<usize>) {
        if self.members.len() <= self.least || self.dice.below(3) != 0 {
            return;
        }
        let Some(leaver) = self.actor(busy) else {
            return;
        };
        busy.insert(leaver);
        let Some(helper) = self.actor(busy) else {
            return;
        };
        busy.insert(helper);
        let identity = self.identity(leaver);
        tasks.extend([(leaver, Task::Leave), (helper, Task::SeeOff(identity))]);
        self.members.retain(|member| *member != leaver);
    }

    /// Up to three change the group at once; who is added by them.
    fn changes(
        &mut self,
        tasks: &mut Vec<(usize, Task)>,
        busy: &mut BTreeSet<usize>,
    ) -> Vec<usize> {
        let mut added = Vec::new();
        let mut wishes = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let Some(actor) = self.actor(busy) else { break };
            busy.insert(actor);
            wishes.push(actor);
        }
        for actor in wishes {
            let task = match self.dice.below(3) {
                0 if self.enters() => {
                    let Some(who) = self.outsider() else { break };
                    busy.insert(who);
                    added.push(who);
                    tasks.push((who, Task::Enter(None)));
                    // And somebody changes the group at the same time.
                    Task::Change(Wish::Update)
                }
                0 if !self.outside.is_empty() => {
                    let count = 1 + self.dice.below(self.outside.len().min(3));
                    let whom: Vec<usize> = self.outside.drain(..count).collect();
                    added.extend(&whom);
                    self.adding(&whom)
                }
                1 => self.removing(busy).unwrap_or(Task::Change(Wish::Update)),
                _ => Task::Change(Wish::Update),
            };
            tasks.push((actor, task));
        }
        added
    }

    /// Whether the next who comes does so by himself.
    fn enters(&mut self) -> bool {
        let there = self.outside.iter().any(|who| !self.away.contains(who));
        self.stage.may_enter() && there && self.dice.below(2) == 0
    }

    /// The next who is there and was never a member.
    fn outsider(&mut self) -> Option<usize> {
        let mut outside = self.outside.iter();
        let at = outside.position(|who| !self.away.contains(who))?;
        Some(self.outside.remove(at))
    }

    fn adding(&self, whom: &[usize]) -> Task {
        Task::Change(Wish::Add(
            whom.iter().map(|who| self.identity(*who)).collect(),
        ))
    }

    /// Any member may be removed that does nothing else, also one that is away.
    fn removing(&mut self, busy: &mut BTreeSet<usize>) -> Option<Task> {
        let idle: Vec<usize> = self
            .members
            .iter()
            .copied()
            .filter(|who| !busy.contains(who))
            .collect();
        if self.members.len() <= self.least || idle.is_empty() {
            return None;
        }
        let whom = idle[self.dice.below(idle.len())];
        self.members.retain(|member| *member != whom);
        Some(Task::Change(Wish::Remove(self.identity(whom))))
    }

    /// A member that is there and does nothing yet.
    fn actor(&mut self, busy: &BTreeSet<usize>) -> Option<usize> {
        let free = |who: &usize| !busy.contains(who) && !self.away.contains(who);
        let free: Vec<usize> = self.members.iter().copied().filter(free).collect();
        (!free.is_empty()).then(|| free[self.dice.below(free.len())])
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("letter {}", self.texts)
    }

    fn identity(&self, who: usize) -> String {
        self.devices[who].identity.clone()
    }

    /// Everybody comes, some write, and the books are compared.
    async fn end(mut self) -> Result<Summary, Fault> {
        let away = std::mem::take(&mut self.away);
        self.all(away.into_iter().map(|who| (who, Task::Come)).collect())
            .await?;
        for _ in 0..4 {
            let writer = self.actor(&BTreeSet::new()).ok_or("nobody is there")?;
            let text = self.text();
            self.all(vec![(writer, Task::Say(text))]).await?;
        }
        if self.stage.is_open() && !self.stage.may_enter() {
            self.intrude().await?;
        }
        let archive = self.stage.archive().await?;
        let last = archive.last().ok_or("nothing happened")?.id.clone();
        let readers = match self.stage.is_open() {
            true => (0..self.devices.len()).collect(),
            false => self.members.clone(),
        };
        self.all(self.members.iter().map(|who| (*who, Task::Join)).collect())
            .await?;
        self.all(
            readers
                .iter()
                .map(|who| (*who, Task::Settle(last.clone())))
                .collect(),
        )
        .await?;
        let mut diaries = Vec::new();
        for device in &self.devices {
            diaries.push(device.diary().await?);
        }
        let members = self.members.iter().map(|who| self.identity(*who)).collect();
        book::check(&diaries, &archive, &members).map_err(|wrong| wrong.join("\n").into())
    }

    /// Where nobody may join by himself nobody does, on either implementation, whoever told him the state of the group.
    async fn intrude(&mut self) -> Result<(), Fault> {
        let member = self.actor(&BTreeSet::new()).ok_or("nobody is there")?;
        let Done::State(state) = self.devices[member].ask(Task::State).await? else {
            return Err("no state".into());
        };
        for who in self.outside.clone() {
            match self.devices[who]
                .ask(Task::Enter(Some(state.clone())))
                .await?
            {
                Done::Barred => {}
                done => return Err(format!("{} entered: {done:?}", self.identity(who)).into()),
            }
        }
        Ok(())
    }

    /// Gives everybody their task at once and waits until all are done.
    async fn all(&self, tasks: Vec<(usize, Task)>) -> Result<(), Fault> {
        let mut asked = tokio::task::JoinSet::new();
        for (who, task) in tasks {
            let device = self.devices[who].clone();
            asked.spawn(async move {
                let what = format!("{} {task:?}", device.identity);
                match tokio::time::timeout(PATIENCE, device.ask(task)).await {
                    Ok(Ok(Done::NoMember)) => Err(format!("{what}: no member").into()),
                    Ok(done) => done.map(drop),
                    Err(_) => Err(Fault::from(format!("{what}: not done in time"))),
                }
            });
        }
        while let Some(done) = asked.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// Chance that can be repeated (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides.max(1) as u64).unwrap_or_default()
    }
}
