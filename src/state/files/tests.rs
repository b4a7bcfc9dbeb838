//! Slots and files over a store in memory and a folder on disk.
#![allow(clippy::unwrap_used, clippy::panic)]

use tempfile::TempDir;

use super::*;
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::accounts::Accounts;
use crate::store::{Options, Space, Store, testing};
use crate::stream::Secret;

const MINUTE: u64 = 60_000;
const QUOTAS: Quotas = Quotas {
    slots: 10,
    files: 10,
    bytes: 1_000,
    day: 1_000,
    total: 1_500,
};

struct House {
    desk: Desk,
    store: Store,
    accounts: Accounts,
    jid: Jid,
    root: TempDir,
}

async fn house() -> House {
    let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
    let store = store.unwrap();
    let secret = Secret::new(vec![1; 32]);
    let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
    let jid = Jid::parse("juliet@example.org").unwrap();
    accounts.create(&jid, "pencil").await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path(), 0);
    House {
        desk: Desk::new(store.clone(), Storage::new(folder, None), "example.org"),
        store,
        accounts,
        jid,
        root,
    }
}

impl House {
    fn wish(&self, size: u64) -> Wish {
        Wish {
            account: self.jid.clone(),
            name: "a".to_owned(),
            size,
            media: String::new(),
            purpose: Purpose::Message,
            latest: None,
        }
    }

    /// A slot that ends after a minute.
    async fn slot(&self, size: u64, now: u64) -> Result<Id, FileError> {
        let opened = self
            .desk
            .open(&self.wish(size), &QUOTAS, now, now + MINUTE)
            .await?;
        Ok(Id::of_token(&opened.token))
    }

    /// A file that ends then.
    async fn file(&self, now: u64, until: u64) -> Id {
        let id = self.slot(2, now).await.unwrap();
        self.fill(id).await;
        self.desk.complete(id, "h", Some(until)).await.unwrap();
        id
    }

    async fn fill(&self, id: Id) {
        let mut draft = self.desk.storage().begin(id).await.unwrap();
        draft.write(b"ab").await.unwrap();
        self.desk.storage().finish(draft).await.unwrap();
    }

    async fn is_there(&self, id: Id) -> (bool, bool) {
        let known = self.desk.find(id).await.unwrap().is_some();
        (
            known,
            self.desk.storage().open(id, 0, 1).await.unwrap().is_some(),
        )
    }

    /// How many entries are left of anything.
    async fn left(&self) -> usize {
        let left = self.store.reading(|view| {
            let mut left = 0;
            for space in [Space::UPLOAD_BY_ACCOUNT, Space::EXPIRY] {
                let all = crate::store::Range::all();
                left += view
                    .scan(space, &all, crate::store::Direction::Forward, 100)?
                    .len();
            }
            Ok(left)
        });
        left.await.unwrap()
    }
}

#[tokio::test]
async fn what_is_over_goes_and_gives_its_room_back() {
    let house = house().await;
    let (old, young) = (
        house.file(0, 10 * MINUTE).await,
        house.file(0, 99 * MINUTE).await,
    );
    let slot = house.slot(100, 0).await.unwrap();
    assert_eq!(house.desk.held().await.unwrap(), 104);
    house.desk.expire(10 * MINUTE, 100).await.unwrap();
    assert_eq!(house.is_there(old).await, (false, false));
    assert_eq!(house.is_there(slot).await, (false, false));
    assert_eq!(house.is_there(young).await, (true, true));
    assert_eq!(house.desk.held().await.unwrap(), 2);
    // One entry in the index of the account, one in the queue.
    assert_eq!(house.left().await, 2);
}

#[tokio::test]
async fn a_slot_does_not_end_while_its_file_comes() {
    let house = house().await;
    let id = house.slot(2, 0).await.unwrap();
    let owner = house.desk.find(id).await.unwrap().unwrap().owner();
    let taken = house.desk.take(id, owner, 2).unwrap();
    assert_eq!(
        house.desk.take(id, owner, 2).unwrap_err(),
        NotTaken::Already
    );
    assert_eq!(
        house.desk.take(Id::of_token("x"), owner, 1).unwrap_err(),
        NotTaken::TooMany
    );
    house.desk.expire(9 * MINUTE, 100).await.unwrap();
    house.fill(id).await;
    house.desk.complete(id, "h", None).await.unwrap();
    drop(taken);
    house.desk.expire(9 * MINUTE, 100).await.unwrap();
    assert_eq!(house.is_there(id).await, (true, true));
    let file = house.desk.find(id).await.unwrap().unwrap();
    assert_eq!((file.hash.as_deref(), file.until), (Some("h"), None));
}

#[tokio::test]
async fn what_comes_for_a_slot_that_is_gone_is_not_kept() {
    let house = house().await;
    let id = house.slot(2, 0).await.unwrap();
    house.fill(id).await;
    house.desk.remove(id).await.unwrap();
    house.fill(id).await;
    let gone = house.desk.complete(id, "h", None).await;
    assert!(matches!(gone, Err(FileError::Gone)));
    assert_eq!(house.is_there(id).await, (false, false));
}

#[tokio::test]
async fn slots_at_once_never_exceed_what_there_may_be() {
    let house = house().await;
    let other = Jid::parse("romeo@example.org").unwrap();
    house.accounts.create(&other, "pencil").await.unwrap();
    let wishes = (0..20).map(|n| {
        let mut wish = house.wish(100);
        if n % 2 == 0 {
            wish.account = other.clone();
        }
        let desk = house.desk.clone();
        tokio::spawn(async move { desk.open(&wish, &QUOTAS, 0, MINUTE).await.is_ok() })
    });
    let mut given = 0;
    for wish in wishes.collect::<Vec<_>>() {
        given += u64::from(wish.await.unwrap());
    }
    let held = house.desk.held().await.unwrap();
    assert_eq!(held, given * 100);
    assert!(held <= QUOTAS.total && given >= 5, "{held}");
    let error = house.slot(1_500, 0).await.unwrap_err();
    assert!(
        matches!(error, FileError::Full(Full::Host, None)),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_account_hears_when_something_of_it_goes() {
    let house = house().await;
    house.file(0, 50 * MINUTE).await;
    let error = house.slot(999, 0).await.unwrap_err();
    let expected = Some(50 * MINUTE);
    let FileError::Full(Full::Bytes, retry) = error else {
        panic!("{error}");
    };
    assert_eq!(retry, expected);
}

#[tokio::test]
async fn nothing_is_left_of_an_account_that_is_gone_nor_of_what_nobody_knows() {
    let house = house().await;
    let (file, slot) = (
        house.file(0, 99 * MINUTE).await,
        house.slot(5, 0).await.unwrap(),
    );
    house.desk.clear(None).await.unwrap();
    assert_eq!(house.is_there(file).await, (true, true));
    house.accounts.delete(&house.jid).await.unwrap();
    house.desk.clear(Some(&house.jid)).await.unwrap();
    assert_eq!(house.is_there(file).await, (false, false));
    assert_eq!(house.is_there(slot).await, (false, false));
    assert_eq!(
        (house.left().await, house.desk.held().await.unwrap()),
        (0, 0)
    );

    // As after a backup that is older than a file.
    house.fill(Id::of_token("unknown")).await;
    assert_eq!(house.desk.sweep().await.unwrap(), 1);
    assert_eq!(
        house.is_there(Id::of_token("unknown")).await,
        (false, false)
    );
    drop(house.root);
}
