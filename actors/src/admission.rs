//! Admission: what happens to a request in a state, as one pure function.
//!
//! ```text
//!                     Loading   Assist                Solo              Draining       Stopped
//!  local              answer    answer                answer            answer         close
//!  finish, in a tx    –         forward               busy              forward        close
//!  read               116       view or forward       view, else busy   279            close
//!  write, begin       116       forward (replica: 7)  busy              279            close
//!  call               116       forward               busy              279            close
//! ```
//!
//! BEGIN on a replica is forwarded: it opens a read-only transaction.

use vestibule_wire::ErrorCode;

use crate::serving::{Role, State};

/// What a request is, as far as admission cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Never needs Tx: PING, ID, AUTH, watches, the catalogue, control procedures.
    Local,
    /// COMMIT and ROLLBACK.
    Finish,
    /// SELECT on data.
    Read,
    /// INSERT, REPLACE, UPDATE, DELETE, UPSERT.
    Write,
    /// BEGIN.
    Begin,
    /// CALL and EVAL.
    Call,
}

impl Class {
    /// Every class, for tests over the whole product.
    pub const ALL: [Self; 6] = [
        Self::Local,
        Self::Finish,
        Self::Read,
        Self::Write,
        Self::Begin,
        Self::Call,
    ];
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The session answers it.
    Answer,
    /// The session answers it from the read view if it can, else forwards it.
    ViewOrForward,
    /// The session answers it from the read view if it can, else it is busy.
    ViewOrBusy,
    /// It goes to Tx.
    Forward,
    /// It is refused because Tx is busy: the solo policy decides how.
    Busy,
    /// It is refused with this code.
    Reject(ErrorCode),
    /// The connection is closed.
    Close,
}

/// Decides on one request. `in_transaction`: its stream has a transaction open.
#[must_use]
pub fn admit(state: State, role: Role, class: Class, in_transaction: bool) -> Verdict {
    match (state, class) {
        (State::Stopped, _) => Verdict::Close,
        (_, Class::Local) => Verdict::Answer,
        (State::Loading, _) => Verdict::Reject(ErrorCode::LOADING),
        (State::Solo, Class::Read) if !in_transaction => Verdict::ViewOrBusy,
        (State::Solo, _) => Verdict::Busy,
        (State::Draining, Class::Finish) => Verdict::Forward,
        (State::Draining, Class::Begin) => Verdict::Reject(ErrorCode::SHUTDOWN),
        (State::Draining, _) if in_transaction => Verdict::Forward,
        (State::Draining, _) => Verdict::Reject(ErrorCode::SHUTDOWN),
        (State::Assist, Class::Read) if !in_transaction => Verdict::ViewOrForward,
        (State::Assist, Class::Write) if role == Role::Replica => {
            Verdict::Reject(ErrorCode::READONLY)
        }
        (State::Assist, _) => Verdict::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's head, spelled out cell by cell.
    fn expected(state: State, role: Role, class: Class, in_transaction: bool) -> Verdict {
        let busy = Verdict::Busy;
        let loading = Verdict::Reject(ErrorCode::LOADING);
        let shutdown = Verdict::Reject(ErrorCode::SHUTDOWN);
        let row = |local, finish, read, write, begin, call| match class {
            Class::Local => local,
            Class::Finish => finish,
            Class::Read => read,
            Class::Write => write,
            Class::Begin => begin,
            Class::Call => call,
        };
        use Verdict::{Answer, Close, Forward, ViewOrBusy, ViewOrForward};
        let write = match role {
            Role::Primary => Forward,
            Role::Replica => Verdict::Reject(ErrorCode::READONLY),
        };
        match (state, in_transaction) {
            (State::Loading, _) => row(Answer, loading, loading, loading, loading, loading),
            (State::Assist, false) => row(Answer, Forward, ViewOrForward, write, Forward, Forward),
            (State::Assist, true) => row(Answer, Forward, Forward, write, Forward, Forward),
            (State::Solo, false) => row(Answer, busy, ViewOrBusy, busy, busy, busy),
            (State::Solo, true) => row(Answer, busy, busy, busy, busy, busy),
            (State::Draining, false) => {
                row(Answer, Forward, shutdown, shutdown, shutdown, shutdown)
            }
            (State::Draining, true) => row(Answer, Forward, Forward, Forward, shutdown, Forward),
            (State::Stopped, _) => row(Close, Close, Close, Close, Close, Close),
        }
    }

    #[test]
    fn every_combination_is_decided_as_the_table_says() {
        let mut seen = 0;
        for state in State::ALL {
            for role in Role::ALL {
                for class in Class::ALL {
                    for in_transaction in [false, true] {
                        let verdict = admit(state, role, class, in_transaction);
                        let wanted = expected(state, role, class, in_transaction);
                        assert_eq!(verdict, wanted, "{state:?} {role:?} {class:?}");
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 120);
    }

    #[test]
    fn what_needs_no_tx_is_answered_in_every_state_that_serves() {
        for state in State::ALL
            .into_iter()
            .filter(|state| *state != State::Stopped)
        {
            for role in Role::ALL {
                assert_eq!(admit(state, role, Class::Local, false), Verdict::Answer);
            }
        }
    }

    #[test]
    fn nothing_waits_for_tx_while_it_is_deaf_or_loading() {
        for state in [State::Loading, State::Solo] {
            for role in Role::ALL {
                for class in Class::ALL {
                    for in_transaction in [false, true] {
                        let verdict = admit(state, role, class, in_transaction);
                        assert!(!matches!(
                            verdict,
                            Verdict::Forward | Verdict::ViewOrForward
                        ));
                    }
                }
            }
        }
    }
}
