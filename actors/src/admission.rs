//! Admission: what happens to a request in a state, as one pure function.
//!
//! ```text
//!                     Loading   Assist                Solo                  Draining   Stopped
//!  local              answer    answer                answer                answer     close
//!  finish             116       forward               busy                  forward    close
//!  read               116       view or forward       view, else busy       279        close
//!  write              116       forward (replica: 7)  busy (demotion: 7)    279        close
//!  temporary write    116       forward               busy                  279        close
//!  begin              116       forward               busy (demotion: 7)    279        close
//!  call               116       forward               busy                  279        close
//!
//!  in an open transaction: as above, but a read is never from the view, and Draining forwards
//!  everything except begin
//! ```
//!
//! Draining is that to a stop. A demotion (`Draining` to `Replica`) is Assist in which writes
//! outside open transactions and BEGIN get 7; calls are forwarded, and Tx lets them change nothing.
//! On a replica BEGIN is forwarded: it opens a read-only transaction. An announced stop is Assist.

use vestibule_wire::ErrorCode;
use vestibule_wire::groups::Group;
use vestibule_wire::keys::RequestType;

use crate::serving::{DrainTarget, Role, Serving, State};

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident,)+) => {
        /// What a request is, as far as admission cares. [`Class::of`] derives it, once; from then
        /// on it goes with the request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Class {
            $($(#[$doc])* $class,)+
        }

        impl Class {
            /// Every class, for tests over the whole product.
            #[cfg(test)]
            pub(crate) const ALL: [Self; [$(Self::$class),+].len()] = [$(Self::$class),+];
        }
    };
}

classes! {
    /// Never needs Tx: PING, ID, AUTH, EVAL (which is refused), watches, the catalog, control
    /// procedures.
    Local,
    /// COMMIT and ROLLBACK.
    Finish,
    /// SELECT on data.
    Read,
    /// INSERT, REPLACE, UPDATE, DELETE, UPSERT.
    Write,
    /// The same on a temporary space, where only that lets it pass: on a replica.
    TemporaryWrite,
    /// BEGIN.
    Begin,
    /// CALL.
    Call,
}

impl Class {
    /// The class that a request has by its type. Two kinds are local all the same: a SELECT on the
    /// catalog, and a CALL of a control procedure. What would be refused as a write is looked at
    /// again: it may be one on a temporary space.
    #[must_use]
    pub(crate) const fn of(request: RequestType) -> Self {
        match request {
            RequestType::Select => Self::Read,
            RequestType::Insert
            | RequestType::Replace
            | RequestType::Update
            | RequestType::Delete
            | RequestType::Upsert => Self::Write,
            RequestType::Begin => Self::Begin,
            RequestType::Commit | RequestType::Rollback => Self::Finish,
            RequestType::Call16 | RequestType::Call => Self::Call,
            RequestType::Auth
            | RequestType::Eval
            | RequestType::Execute
            | RequestType::Prepare
            | RequestType::Ping
            | RequestType::Id
            | RequestType::Watch
            | RequestType::Unwatch
            | RequestType::WatchOnce => Self::Local,
        }
    }

    /// The group that its request and reply share a connection in.
    #[must_use]
    pub(crate) fn group(self, stream: u64) -> Group {
        Group::stream(stream).unwrap_or(match self {
            Self::Local => Group::Control,
            Self::Read => Group::Read,
            Self::Finish | Self::Write | Self::TemporaryWrite | Self::Begin => Group::Write,
            Self::Call => Group::Call,
        })
    }

    /// Whether it may change data outside of a transaction, or begin one that does.
    #[must_use]
    pub(crate) const fn may_write(self) -> bool {
        match self {
            Self::Write | Self::Begin | Self::Call => true,
            Self::Local | Self::Finish | Self::Read | Self::TemporaryWrite => false,
        }
    }
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The session answers it.
    Answer,
    /// The session answers it from the read view if it can, else forwards it.
    ViewOrForward,
    /// The session answers it from the read view if it can, else it is busy.
    ViewOrBusy,
    /// The request goes to Tx.
    Forward,
    /// The request is refused because Tx is busy: the solo policy decides how.
    Busy,
    /// The request is refused with this code.
    Reject(ErrorCode),
    /// The connection is closed.
    Close,
}

/// Decides on one request. `in_transaction`: its stream has a transaction open.
#[inline]
#[must_use]
pub(crate) fn admit(serving: Serving, class: Class, in_transaction: bool) -> Verdict {
    let is_demoting = serving.drain_target == Some(DrainTarget::Replica);
    let read_only = Verdict::Reject(ErrorCode::READONLY);
    match (serving.state, class) {
        (State::Stopped, _) => Verdict::Close,
        (_, Class::Local) => Verdict::Answer,
        (State::Loading, _) => Verdict::Reject(ErrorCode::LOADING),
        (State::Draining, Class::Finish) => Verdict::Forward,
        (State::Draining, _) if serving.is_stopping() => {
            if in_transaction && class != Class::Begin {
                Verdict::Forward
            } else {
                Verdict::Reject(ErrorCode::SHUTDOWN)
            }
        }
        (_, Class::Begin) if is_demoting => read_only,
        (_, Class::Write) if is_demoting && !in_transaction => read_only,
        (State::Solo, Class::Read) if !in_transaction => Verdict::ViewOrBusy,
        (State::Solo, _) => Verdict::Busy,
        (_, Class::Read) if !in_transaction => Verdict::ViewOrForward,
        (_, Class::Write) if serving.role == Role::Replica => read_only,
        (State::Assist | State::Draining, _) => Verdict::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's head, spelled out cell by cell.
    fn expected(serving: Serving, class: Class, in_transaction: bool) -> Verdict {
        let busy = Verdict::Busy;
        let loading = Verdict::Reject(ErrorCode::LOADING);
        let shutdown = Verdict::Reject(ErrorCode::SHUTDOWN);
        let read_only = Verdict::Reject(ErrorCode::READONLY);
        let row = |local, finish, read, write, begin, call| match class {
            // Of a CALL nobody knows beforehand what it changes, and of this that it is nothing
            // that a role forbids.
            Class::TemporaryWrite => call,
            Class::Local => local,
            Class::Finish => finish,
            Class::Read => read,
            Class::Write => write,
            Class::Begin => begin,
            Class::Call => call,
        };
        use Verdict::{Answer, Close, Forward, ViewOrBusy, ViewOrForward};
        let write = match serving.role {
            Role::Primary => Forward,
            Role::Replica => read_only,
        };
        let drain_target = serving.drain_target;
        // Without a direction there is no Draining: it is told as an Assist.
        match (serving.state, drain_target, in_transaction) {
            (State::Loading, _, _) => row(Answer, loading, loading, loading, loading, loading),
            (State::Assist | State::Draining, Some(DrainTarget::Replica), false) => row(
                Answer,
                Forward,
                ViewOrForward,
                read_only,
                read_only,
                Forward,
            ),
            (State::Assist | State::Draining, Some(DrainTarget::Replica), true) => {
                row(Answer, Forward, Forward, write, read_only, Forward)
            }
            (State::Draining, Some(DrainTarget::Stopped), false) => {
                row(Answer, Forward, shutdown, shutdown, shutdown, shutdown)
            }
            (State::Draining, Some(DrainTarget::Stopped), true) => {
                row(Answer, Forward, Forward, Forward, shutdown, Forward)
            }
            (State::Assist | State::Draining, _, false) => {
                row(Answer, Forward, ViewOrForward, write, Forward, Forward)
            }
            (State::Assist | State::Draining, _, true) => {
                row(Answer, Forward, Forward, write, Forward, Forward)
            }
            (State::Solo, Some(DrainTarget::Replica), false) => {
                row(Answer, busy, ViewOrBusy, read_only, read_only, busy)
            }
            (State::Solo, Some(DrainTarget::Replica), true) => {
                row(Answer, busy, busy, busy, read_only, busy)
            }
            (State::Solo, _, false) => row(Answer, busy, ViewOrBusy, busy, busy, busy),
            (State::Solo, _, true) => row(Answer, busy, busy, busy, busy, busy),
            (State::Stopped, _, _) => row(Close, Close, Close, Close, Close, Close),
        }
    }

    fn every(mut look: impl FnMut(Serving, Class, bool)) {
        for state in State::ALL {
            for role in Role::ALL {
                for drain_target in DrainTarget::ALL {
                    for class in Class::ALL {
                        for in_transaction in [false, true] {
                            let serving = Serving {
                                state,
                                role,
                                drain_target,
                                epoch: 1,
                            };
                            look(serving, class, in_transaction);
                        }
                    }
                }
            }
        }
    }

    /// SM-15: the whole table of states, roles and classes.
    #[test]
    fn every_combination_is_decided_as_the_table_says() {
        let mut seen = 0;
        every(|serving, class, in_transaction| {
            let verdict = admit(serving, class, in_transaction);
            let wanted = expected(serving, class, in_transaction);
            assert_eq!(verdict, wanted, "{serving:?} {class:?} {in_transaction}");
            seen += 1;
        });
        assert_eq!(seen, 420);
    }

    #[test]
    fn only_what_may_need_tx_is_not_local_by_its_type() {
        let mut not_local = RequestType::ALL.to_vec();
        not_local.retain(|request| Class::of(*request) != Class::Local);
        let names: Vec<_> = not_local.iter().map(|own| own.name()).collect();
        let finish = ["COMMIT", "ROLLBACK"];
        let writes = ["INSERT", "REPLACE", "UPDATE", "DELETE", "UPSERT"];
        for (name, request) in names.iter().zip(&not_local) {
            let expected = match *name {
                "SELECT" => Class::Read,
                "BEGIN" => Class::Begin,
                "CALL" | "CALL_16" => Class::Call,
                name if finish.contains(&name) => Class::Finish,
                name if writes.contains(&name) => Class::Write,
                name => panic!("{name} is local"),
            };
            assert_eq!(Class::of(*request), expected, "{name}");
        }
        assert_eq!(names.len(), 11);
    }

    #[test]
    fn what_needs_no_tx_is_answered_in_every_state_that_serves() {
        every(|serving, class, in_transaction| {
            if serving.state != State::Stopped && class == Class::Local {
                assert_eq!(admit(serving, class, in_transaction), Verdict::Answer);
            }
        });
    }

    #[test]
    fn nothing_waits_for_tx_while_it_is_blocked_or_loading() {
        every(|serving, class, in_transaction| {
            if matches!(serving.state, State::Loading | State::Solo) {
                let verdict = admit(serving, class, in_transaction);
                assert!(!matches!(
                    verdict,
                    Verdict::Forward | Verdict::ViewOrForward
                ));
            }
        });
    }

    #[test]
    fn a_demotion_stops_no_read() {
        every(|serving, class, in_transaction| {
            if class == Class::Read && serving.drain_target == Some(DrainTarget::Replica) {
                let without = Serving {
                    drain_target: None,
                    ..serving
                };
                assert_eq!(
                    admit(serving, class, in_transaction),
                    admit(without, class, in_transaction)
                );
            }
        });
    }
}
