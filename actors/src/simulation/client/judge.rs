//! What the replies to a client mean for its writes.

use super::{Client, Phase, Told};
use crate::simulation::asked::What;
use crate::simulation::chunks::is_of_key;
use crate::simulation::ledger::{Ledger, Verdict};
use crate::testing::Frame;

/// What a BEGIN is told that is killed, or whose time is over, before it is done.
const TAKEN_BACK: [Told; 2] = [Told::Refused(32), Told::Refused(78)];

fn verdict_of(told: Told) -> Verdict {
    match told {
        Told::Done => Verdict::Acknowledged,
        Told::Refused(_) => Verdict::Refused,
        Told::Unknown(_) => Verdict::Unknown,
    }
}

impl Client {
    /// What a reply means for what was asked.
    pub(super) fn judge(&mut self, what: What, told: Told, frame: &Frame, ledger: &mut Ledger) {
        let (connection, sync) = (self.connection, frame.sync);
        let verdict = verdict_of(told);
        match what {
            What::Nothing | What::Unending | What::Rollback(_) | What::ReadFrom(_) => {}
            What::Setting => self.has_set |= told == Told::Done,
            What::Login(user) => {
                if told == Told::Done {
                    self.user = user;
                }
            }
            What::Agreement => {
                let chunks = self.chunks.as_mut().expect("it has asked");
                if !chunks.agree(&frame.body) {
                    ledger.fault(format!("{connection} gets no chunks: {told:?}"));
                }
            }
            What::Read(key) => {
                if told == Told::Done && !is_of_key(&frame.body, key) {
                    ledger.fault(format!("{connection}/{sync} has bytes of another reply"));
                }
            }
            What::Write(key) => ledger.tell(key, verdict),
            What::Steps(key) => match told {
                // Any other error may come after a step.
                Told::Refused(code) if ![116, 279].contains(&code) => {
                    ledger.tell(key, Verdict::Unknown);
                }
                _ => ledger.tell(key, verdict),
            },
            What::Begin(stream) => self.judge_begin(stream, told),
            What::Statement(stream, key) => self.judge_statement(stream, key, told, ledger),
            What::Commit(stream) => {
                let ended = self.streams.remove(&stream);
                let cut_off = ended.as_ref().filter(|own| own.is_whole);
                if let Some(own) = cut_off.filter(|_| told == Told::Refused(7)) {
                    self.cut_off.push(own.begun);
                }
                for key in ended.iter().flat_map(|own| &own.keys) {
                    match self.is_answered(*key) {
                        true => ledger.tell(*key, verdict),
                        false => drop(self.committed.insert(*key, verdict)),
                    }
                }
            }
        }
        if matches!(what, What::Rollback(_)) {
            self.streams.retain(|_, own| own.phase != Phase::Ending);
        }
    }

    /// Whether the statement of this key is answered.
    fn is_answered(&self, key: u64) -> bool {
        let mut waiting = self.waiting.values();
        !waiting.any(|own| matches!(own.what, What::Statement(_, other) if other == key))
    }

    fn judge_begin(&mut self, stream: u64, told: Told) {
        let Some(own) = self.streams.get_mut(&stream) else {
            return;
        };
        let has_more = !own.keys.is_empty() || own.phase != Phase::Beginning;
        if own.phase == Phase::Beginning {
            own.phase = Phase::Open;
        }
        if told != Told::Done {
            own.failed = Some(told);
            own.is_whole = false;
        }
        if told != Told::Done && !has_more {
            self.streams.remove(&stream);
        }
    }

    fn judge_statement(&mut self, stream: u64, key: u64, told: Told, ledger: &mut Ledger) {
        let Some(own) = self.streams.get_mut(&stream) else {
            let committed = self.committed.remove(&key);
            match told {
                Told::Done => committed.into_iter().for_each(|own| ledger.tell(key, own)),
                told => ledger.tell(key, verdict_of(told)),
            }
            return;
        };
        if told != Told::Done {
            ledger.tell(key, verdict_of(told));
            own.is_whole = false;
        } else if matches!(own.failed, Some(Told::Refused(_))) {
            // Its BEGIN is not done: it is done alone.
            ledger.tell(key, Verdict::Acknowledged);
        } else {
            return;
        }
        own.keys.retain(|own| *own != key);
        if told == Told::Done && own.failed.is_some_and(|own| TAKEN_BACK.contains(&own)) {
            let connection = self.connection;
            ledger.fault(format!("{connection}: key {key} is done without its BEGIN"));
        }
    }
}
