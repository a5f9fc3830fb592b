//! Statements of SQL that clients have prepared, by their texts: so that they are there over
//! whichever link a client's requests go. Pure.
//!
//! ```text
//!   the reply to a PREPARE ─▶ held: this client's number ─▶ text ◀─ shared by all who hold it
//!   UNPREPARE, the client is gone ─▶ let go ── the last one ─▶ links unprepare it
//! ```
//!
//! A number is upstream's hash of the text, and stands for one session there. Which one that is
//! for a text over one link, that link knows.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use vestibule_wire::{Error, ErrorCode};

use super::preparing::{PreparingTexts, size_of};
use super::session_request::sets;
use super::sweeping::SweepAt;
use crate::limits::{STATEMENTS_BYTES_MAX, STATEMENTS_MAX};
use crate::memory::{Memory, MemoryCharge};

/// How many texts that nobody holds any more are told one by one; who was away for longer looks
/// through all that it has.
const GONE_KEEP_MAX: usize = 256;

/// A text that somebody holds.
#[derive(Debug)]
pub(crate) struct StatementText {
    /// By which links know it: never used again.
    pub(crate) number: u64,
    pub(crate) text: Bytes,
    /// Whether it sets something in its session.
    pub(crate) sets: bool,
}

/// Why a statement is not kept, which is told in place of the reply to its PREPARE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementRefusal {
    #[error("this connection has {STATEMENTS_MAX} prepared statements, as many as it may have")]
    TooMany,
    #[error("the prepared statements of a connection take {STATEMENTS_BYTES_MAX} bytes at most")]
    TooLarge,
    #[error("there is no memory for it")]
    NoMemory,
    #[error("its number stands for another one that this connection has prepared")]
    Ambiguous,
}

/// The text of a PREPARE that is on its way; it is not any more when this is dropped.
#[derive(Debug)]
pub(crate) struct PreparingText {
    pub(crate) text: Bytes,
    /// Whose it is, if it is not one of ours.
    of: Option<(Rc<ClientStatements>, u64)>,
}

impl Drop for PreparingText {
    fn drop(&mut self) {
        if let Some((clients, connection)) = &self.of {
            let preparing = &mut clients.0.borrow_mut().preparing;
            preparing.end(*connection, &self.text);
        }
    }
}

impl StatementRefusal {
    /// As Tarantool tells that it has no room for one.
    pub(crate) fn error(self) -> Error {
        let text = format!("Failed to prepare SQL statement: {self}");
        Error::new(ErrorCode::SQL_PREPARE, text)
    }
}

/// As Tarantool says that a session has no statement of this number.
pub(crate) fn unknown_statement(id: u32) -> Error {
    let text = format!("Prepared statement with id {id} does not exist");
    Error::new(ErrorCode::WRONG_QUERY_ID, text)
}

/// What one client holds.
#[derive(Debug)]
struct HeldStatements {
    by_id: HashMap<u32, HeldStatement>,
    bytes: usize,
    charge: MemoryCharge,
}

#[derive(Debug)]
struct HeldStatement {
    text: Rc<StatementText>,
    /// The number of the request that has prepared it last.
    since: u64,
}

/// What the clients of one worker hold.
#[derive(Debug)]
pub(crate) struct ClientStatements(RefCell<StatementTable>);

#[derive(Debug)]
struct StatementTable {
    memory: Arc<Memory>,
    /// By the number of the connection, which is never used again.
    clients: HashMap<u64, HeldStatements>,
    /// What clients have asked for, over all links.
    preparing: PreparingTexts,
    /// What somebody holds, and what nobody does and is not dropped yet.
    texts: HashMap<Bytes, Weak<StatementText>>,
    sweep_at: SweepAt,
    last: u64,
    /// The numbers of those that were let go last, and how many there were in all.
    gone: VecDeque<u64>,
    gone_in_all: u64,
}

impl StatementTable {
    fn find(&self, text: &[u8]) -> Option<Rc<StatementText>> {
        self.texts.get(text)?.upgrade()
    }

    fn text_of(&mut self, text: &Bytes) -> Rc<StatementText> {
        if let Some(own) = self.find(text) {
            return own;
        }
        let is_held = |_: &Bytes, own: &Weak<StatementText>| own.strong_count() > 0;
        self.sweep_at.sweep(&mut self.texts, is_held);
        self.last += 1;
        let own = Rc::new(StatementText {
            number: self.last,
            text: text.clone(),
            sets: sets(text),
        });
        self.texts.insert(text.clone(), Rc::downgrade(&own));
        own
    }

    /// A client holds one no more: if nobody else does, links are told.
    fn drop_text(&mut self, own: Rc<StatementText>) {
        if let Some(own) = Rc::into_inner(own) {
            self.texts.remove(&own.text);
            self.gone.push_back(own.number);
            self.gone_in_all += 1;
            if self.gone.len() > GONE_KEEP_MAX {
                self.gone.pop_front();
            }
        }
    }
}

impl ClientStatements {
    /// None yet; what they take is charged here.
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self(RefCell::new(StatementTable {
            preparing: PreparingTexts::new(memory.clone()),
            memory,
            clients: HashMap::new(),
            texts: HashMap::new(),
            sweep_at: SweepAt::new(STATEMENTS_MAX),
            last: 0,
            gone: VecDeque::new(),
            gone_in_all: 0,
        }))
    }

    /// The statement of a client by the number that it was told.
    pub(crate) fn get(&self, connection: u64, id: u32) -> Option<Rc<StatementText>> {
        let table = self.0.borrow();
        let held = table.clients.get(&connection)?.by_id.get(&id)?;
        Some(held.text.clone())
    }

    /// A text, if somebody holds it.
    pub(crate) fn find(&self, text: &[u8]) -> Option<Rc<StatementText>> {
        self.0.borrow().find(text)
    }

    /// A PREPARE of a client is sent: its text is kept until that is answered. What it holds
    /// already, or has asked for, takes no room twice.
    ///
    /// # Errors
    ///
    /// There is no room for it, beside all that.
    pub(crate) fn keep_preparing(
        self: &Rc<Self>,
        connection: u64,
        text: &[u8],
    ) -> Result<PreparingText, StatementRefusal> {
        let table = &mut *self.0.borrow_mut();
        let of = Some((self.clone(), connection));
        if let Some(text) = table.preparing.join(connection, text) {
            return Ok(PreparingText { text, of });
        }
        let found = table.find(text);
        let own = table.clients.get(&connection);
        let is_held = found.as_ref().is_some_and(|found| {
            let mut held = own.into_iter().flat_map(|own| own.by_id.values());
            held.any(|own| Rc::ptr_eq(&own.text, found))
        });
        if !is_held {
            let others = own.map_or(0, |own| own.bytes) + table.preparing.bytes_of(connection);
            if others + size_of(text) > STATEMENTS_BYTES_MAX {
                return Err(StatementRefusal::TooLarge);
            }
            if !table.memory.may_keep(size_of(text)) {
                return Err(StatementRefusal::NoMemory);
            }
        }
        let text = found.map_or_else(|| Bytes::copy_from_slice(text), |own| own.text.clone());
        table.preparing.begin(connection, text.clone(), is_held);
        Ok(PreparingText { text, of })
    }

    /// The same of one of ours: it is that of somebody who holds it, or of no use any more.
    pub(crate) fn keep_preparing_ours(&self, text: &[u8]) -> Option<PreparingText> {
        let text = self.find(text)?.text.clone();
        Some(PreparingText { text, of: None })
    }

    /// A client is told that a statement is prepared by this number; `since` is the number of its
    /// request.
    ///
    /// # Errors
    ///
    /// There is no room for it. The client holds what it held before.
    pub(crate) fn hold(
        &self,
        connection: u64,
        id: u32,
        text: &Bytes,
        since: u64,
    ) -> Result<(), StatementRefusal> {
        let table = &mut *self.0.borrow_mut();
        if let Some(own) = table.clients.get_mut(&connection)
            && let Some(held) = own.by_id.get_mut(&id)
        {
            if held.text.text != *text {
                return Err(StatementRefusal::Ambiguous);
            }
            held.since = since;
            return Ok(());
        }
        let size = size_of(text);
        let (count, bytes) = table
            .clients
            .get(&connection)
            .map_or((0, 0), |own| (own.by_id.len(), own.bytes));
        if count >= STATEMENTS_MAX {
            return Err(StatementRefusal::TooMany);
        }
        if bytes + size > STATEMENTS_BYTES_MAX {
            return Err(StatementRefusal::TooLarge);
        }
        if !table.memory.may_keep(size) {
            return Err(StatementRefusal::NoMemory);
        }
        table.preparing.set_held(connection, text, true);
        let text = table.text_of(text);
        let memory = &table.memory;
        let own = table.clients.entry(connection);
        let own = own.or_insert_with(|| HeldStatements {
            by_id: HashMap::new(),
            bytes: 0,
            charge: MemoryCharge::new(memory.clone()),
        });
        own.by_id.insert(id, HeldStatement { text, since });
        own.bytes += size;
        own.charge.set(own.bytes);
        Ok(())
    }

    /// A client has unprepared a statement, by the request of this number; what it has prepared
    /// since stays. False if it held none by that number.
    pub(crate) fn let_go(&self, connection: u64, id: u32, number: u64) -> bool {
        let table = &mut *self.0.borrow_mut();
        let Some(own) = table.clients.get_mut(&connection) else {
            return false;
        };
        match own.by_id.get(&id) {
            None => return false,
            Some(held) if held.since > number => return true,
            Some(_) => {}
        }
        if let Some(held) = own.by_id.remove(&id) {
            own.bytes -= size_of(&held.text.text);
            own.charge.set(own.bytes);
            (table.preparing).set_held(connection, &held.text.text, false);
            if own.by_id.is_empty() {
                table.clients.remove(&connection);
            }
            table.drop_text(held.text);
        }
        true
    }

    /// A client is gone. Whether it held something.
    pub(crate) fn forget(&self, connection: u64) -> bool {
        let table = &mut *self.0.borrow_mut();
        let Some(own) = table.clients.remove(&connection) else {
            return false;
        };
        for held in own.by_id.into_values() {
            table.drop_text(held.text);
        }
        table.preparing.on_gone(connection);
        true
    }

    /// How many texts nobody holds any more, of all that there were.
    #[inline]
    pub(crate) fn gone_in_all(&self) -> u64 {
        self.0.borrow().gone_in_all
    }

    /// The numbers of those behind the first `seen` of them; `None` if they were too many to be
    /// told one by one.
    pub(crate) fn gone_since(&self, seen: u64) -> Option<Vec<u64>> {
        let table = self.0.borrow();
        let count = usize::try_from(table.gone_in_all - seen).ok()?;
        let first = table.gone.len().checked_sub(count)?;
        Some(table.gone.range(first..).copied().collect())
    }

    /// The numbers, of these, whose texts nobody holds any more.
    pub(crate) fn without_held(&self, numbers: impl Iterator<Item = u64>) -> Vec<u64> {
        let table = self.0.borrow();
        let held = table.texts.values().filter_map(Weak::upgrade);
        let held: HashSet<u64> = held.map(|own| own.number).collect();
        numbers.filter(|number| !held.contains(number)).collect()
    }
}

impl Default for ClientStatements {
    /// With all the memory that there is.
    fn default() -> Self {
        Self::new(Arc::new(Memory::new(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::preparing::ENTRY_SIZE;

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn each_client_has_its_own_numbers_and_all_share_the_texts() {
        let own = ClientStatements::default();
        own.hold(1, 7, &text("SELECT 1"), 1).unwrap();
        own.hold(2, 8, &text("SELECT 1"), 2).unwrap();
        let [one, other] = [(1, 7), (2, 8)].map(|(who, id)| own.get(who, id).unwrap());
        assert!(Rc::ptr_eq(&one, &other) && !one.sets);
        assert!(own.get(1, 8).is_none() && own.get(3, 7).is_none());
        drop((one, other));
        own.let_go(1, 7, 3);
        assert!(own.get(1, 7).is_none() && own.find(b"SELECT 1").is_some());
        assert_eq!(own.gone_since(0), Some(vec![]));
        assert!(own.forget(2) && !own.forget(2));
        assert!(own.find(b"SELECT 1").is_none());
        assert_eq!(own.gone_since(0), Some(vec![1]));
    }

    #[test]
    fn what_was_prepared_again_behind_an_unprepare_stays() {
        let own = ClientStatements::default();
        own.hold(1, 7, &text("SELECT 1"), 1).unwrap();
        own.hold(1, 7, &text("SELECT 1"), 3).unwrap();
        own.let_go(1, 7, 2);
        assert!(own.get(1, 7).is_some());
        own.let_go(1, 7, 4);
        assert!(own.get(1, 7).is_none());
    }

    #[test]
    fn a_number_stands_for_one_text() {
        let own = ClientStatements::default();
        own.hold(1, 7, &text("SELECT 1"), 1).unwrap();
        let other = own.hold(1, 7, &text("SELECT 2"), 2);
        assert_eq!(other, Err(StatementRefusal::Ambiguous));
        assert_eq!(own.get(1, 7).unwrap().text, "SELECT 1");
    }

    #[test]
    fn a_client_has_its_bounds_and_what_it_holds_is_charged() {
        let memory = Arc::new(Memory::new(16 << 20));
        let own = ClientStatements::new(memory.clone());
        let large = Bytes::from(vec![b' '; STATEMENTS_BYTES_MAX - 2 * ENTRY_SIZE]);
        own.hold(1, 0, &large, 1).unwrap();
        assert_eq!(memory.used(), STATEMENTS_BYTES_MAX - ENTRY_SIZE);
        let told = own.hold(1, 1, &text("x"), 2);
        assert_eq!(told, Err(StatementRefusal::TooLarge));
        own.hold(1, 1, &text(""), 2).unwrap();
        assert!(own.forget(1));
        assert_eq!(memory.used(), 0);
        for id in 0..STATEMENTS_MAX as u32 {
            own.hold(1, id, &text("x"), 1).unwrap();
        }
        let one_more = |who, id| own.hold(who, id, &text("y"), 2);
        assert_eq!(one_more(1, u32::MAX), Err(StatementRefusal::TooMany));
        assert_eq!(own.hold(1, 3, &text("x"), 2), Ok(()), "it has it already");
        memory.set_max(0);
        assert_eq!(one_more(2, 1), Err(StatementRefusal::NoMemory));
    }

    #[test]
    fn who_was_away_for_long_is_told_that_it_has_missed_some() {
        let own = ClientStatements::default();
        for number in 0..=GONE_KEEP_MAX as u32 {
            let text = Bytes::from(number.to_string());
            own.hold(1, number, &text, 1).unwrap();
            own.let_go(1, number, 2);
        }
        assert_eq!(own.gone_since(0), None);
        let last = own.gone_since(1).unwrap();
        assert_eq!(last.len(), GONE_KEEP_MAX);
        let gone = GONE_KEEP_MAX as u64 + 1;
        assert_eq!(own.gone_in_all(), gone);
        own.hold(1, 1, &text("held"), 3).unwrap();
        assert_eq!(own.without_held([1, gone + 1].into_iter()), [1]);
    }
}
