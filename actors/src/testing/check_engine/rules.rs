//! What has to hold.

use vestibule_wire::ErrorCode;
use vestibule_wire::request::{Body, IdOrName, IteratorType, Select, Store};

use super::broken::{FailCommits, broken};
use super::subject::{Subject, by_key};
use crate::engine::{Engine, RefusedBy};

/// A space that no engine has.
const NO_SPACE: u32 = 0x7fff_fff0;

/// A turn is seen by its own requests at once, and by others when it is committed.
pub(super) fn turns<E: Engine>(subject: &mut Subject<'_, E>) {
    let version = subject.engine().schema_version();
    let number = subject.store(None);
    if !subject.is_seen(number, None) {
        broken(
            "what a request has changed is seen by later requests of its turn",
            "a tuple that was stored is not found",
        );
    }
    if subject.is_shown(number) == Some(true) {
        broken(
            "the view shows nothing of a turn before its commit",
            "a tuple that was stored and not committed is shown",
        );
    }
    subject.commit();
    if !subject.is_seen(number, None) {
        broken(
            "what was committed is seen by the next turns",
            "the tuple is gone after commit()",
        );
    }
    if subject.is_shown(number) == Some(false) {
        broken(
            "the view shows what was committed as soon as commit() returns",
            "the tuple is not shown",
        );
    }
    if subject.engine().schema_version() != version {
        broken(
            "the schema version changes with the catalog and only then: clients fetch their \
             schema whenever it does",
            "it changed when a tuple was stored",
        );
    }
    // A turn of reads alone is committed as well.
    subject.commit();
}

/// A request that fails has changed nothing, and is no panic.
pub(super) fn requests_that_fail<E: Engine>(subject: &mut Subject<'_, E>) {
    let before = subject.store(None);
    let space = IdOrName::Id(subject.target.space);
    let replace = |space, tuple| Body::Replace(Store { space, tuple });
    let nowhere = IdOrName::Id(NO_SPACE);
    let no_iterator = Select {
        iterator: 99,
        ..by_key(subject.target.space, &[0x90])
    };
    let refused = [
        (replace(space, &[0x90]), "REPLACE of a tuple without fields"),
        (replace(space, &[0x07]), "REPLACE of what is no tuple"),
        (
            replace(nowhere, &[0x91, 0x01]),
            "REPLACE into a space that is not there",
        ),
        (
            Body::Select(by_key(NO_SPACE, &[0x91, 0x01])),
            "SELECT from a space that is not there",
        ),
        (
            Body::Select(no_iterator),
            "SELECT with an iterator that is not there",
        ),
    ];
    for (body, what) in refused {
        if subject.ask(body, None).is_ok() {
            broken("what makes no sense is refused", what);
        }
    }
    let rule = "a request that fails takes nothing of its turn with it";
    if !subject.is_seen(before, None) {
        broken(rule, "what an earlier request has stored is gone");
    }
    subject.commit();
    if !subject.is_seen(before, None) {
        broken(rule, "what an earlier request has stored is not committed");
    }
}

/// A turn that is discarded leaves nothing behind.
pub(super) fn discarded_turns<E: Engine>(subject: &mut Subject<'_, E>) {
    let rule = "discard_turn() forgets what the turn has changed, or fails so that another engine \
                is made: after a demotion nothing older may be written";
    let kept = subject.store(None);
    subject.commit();
    let number = subject.store(None);
    if subject.engine().discard_turn().is_err() {
        subject.replace_engine();
    }
    if subject.is_seen(number, None) {
        broken(rule, "a tuple of the discarded turn is still found");
    }
    subject.commit();
    if subject.is_seen(number, None) || subject.is_shown(number) == Some(true) {
        broken(
            rule,
            "a tuple of the discarded turn came with the next commit",
        );
    }
    if !subject.is_seen(kept, None) {
        broken(rule, "a tuple of an earlier turn is gone as well");
    }
}

/// A commit that fails leaves nothing behind.
pub(super) fn failed_commits<E: Engine>(subject: &mut Subject<'_, E>, fail: &FailCommits) {
    let rule = "when commit() fails, the engine is as it was before the turn";
    let number = subject.store(None);
    fail(true);
    let outcome = subject.engine().commit();
    fail(false);
    if outcome.is_ok() {
        broken(
            "commit() fails when with_failing_commits was told so",
            "it returned Ok",
        );
    }
    if subject.is_seen(number, None) {
        broken(rule, "a tuple of the turn is still found");
    }
    if subject.is_shown(number) == Some(true) {
        broken(rule, "the view shows a tuple of the turn");
    }
    // It may take no changes until somebody has looked, if it says so: then another one does.
    if subject.engine().fault().is_some() {
        subject.replace_engine();
    }
    let next = subject.store(None);
    subject.commit();
    if subject.is_seen(number, None) || subject.is_shown(number) == Some(true) {
        broken(rule, "a tuple of the turn came with the next commit");
    }
    if !subject.is_seen(next, None) {
        let rule = "turns are committed again after one that failed";
        broken(rule, "a tuple of the next turn is gone");
    }
}

/// A transaction is its own until it is committed, and then a part of the turn.
pub(super) fn transactions<E: Engine>(subject: &mut Subject<'_, E>) {
    let Some(own) = subject.begin() else { return };
    let number = subject.store(Some(own));
    if !subject.is_seen(number, Some(own)) {
        broken(
            "a transaction sees what it has changed",
            "a tuple that it has stored is not found in it",
        );
    }
    let rule = "nobody else sees what an open transaction has changed";
    if subject.is_seen(number, None) {
        broken(rule, "a request outside of it finds its tuple");
    }
    subject.commit();
    if subject.is_seen(number, None) || subject.is_shown(number) == Some(true) {
        broken(rule, "its tuple came with the commit of a turn");
    }
    if !subject.is_seen(number, Some(own)) {
        broken(
            "a transaction outlives turns",
            "what it has stored is gone after the commit of a turn",
        );
    }
    subject.engine().rollback_transaction(own);
    subject.commit();
    if subject.is_seen(number, None) || subject.is_shown(number) == Some(true) {
        broken(
            "rollback_transaction() forgets what a transaction has changed",
            "its tuple is there",
        );
    }
    committed_transactions(subject);
}

const JOINS: &str = "commit_transaction() makes a transaction a part of the turn";

/// The number of what a transaction has stored that was committed into the turn.
fn commit_one<E: Engine>(subject: &mut Subject<'_, E>) -> Option<u64> {
    let own = subject.begin()?;
    let number = subject.store(Some(own));
    if let Err(error) = subject.engine().commit_transaction(own) {
        let seen = format!("{error}, though nobody else has changed anything");
        broken(JOINS, &seen);
    }
    Some(number)
}

fn committed_transactions<E: Engine>(subject: &mut Subject<'_, E>) {
    let Some(number) = commit_one(subject) else {
        return;
    };
    if !subject.is_seen(number, None) {
        broken(JOINS, "a later request of the turn does not find its tuple");
    }
    if subject.is_shown(number) == Some(true) {
        broken(
            JOINS,
            "the view shows its tuple before the turn is committed",
        );
    }
    subject.commit();
    if !subject.is_seen(number, None) || subject.is_shown(number) == Some(false) {
        broken(JOINS, "its tuple is gone after the commit of the turn");
    }
    let Some(number) = commit_one(subject) else {
        return;
    };
    if subject.engine().discard_turn().is_err() {
        subject.replace_engine();
    }
    subject.commit();
    if subject.is_seen(number, None) || subject.is_shown(number) == Some(true) {
        broken(JOINS, "its tuple outlives discard_turn()");
    }
}

/// An engine that says that it refuses changes where there may be none does.
pub(super) fn read_only<E: Engine>(subject: &mut Subject<'_, E>) {
    if subject.engine().set_read_only(true) == RefusedBy::Runtime {
        subject.engine().set_read_only(false);
        return;
    }
    let rule = "an engine whose set_read_only() says RefusedBy::Engine refuses by \
                ErrorCode::READONLY what would change data";
    let open = subject.begin();
    let mut asked = Vec::new();
    for within in [None, open] {
        let (number, stored) = subject.try_to_store(within);
        match stored {
            Err(error) if error.code() == ErrorCode::READONLY => asked.push(number),
            Err(error) => broken(
                rule,
                &format!("a tuple is refused by another error: {error}"),
            ),
            Ok(_) => broken(rule, "a tuple was stored after set_read_only(true)"),
        }
    }
    if let Some(open) = open {
        subject.engine().rollback_transaction(open);
    }
    subject.commit();
    subject.engine().set_read_only(false);
    if asked
        .into_iter()
        .any(|number| subject.is_seen(number, None))
    {
        broken(rule, "a tuple that was refused is there");
    }
    // Another one is stored again.
    subject.store(None);
    subject.commit();
}

/// The view has the rows of the engine, and refuses what the engine refuses.
pub(super) fn the_view<E: Engine>(subject: &mut Subject<'_, E>) {
    let number = subject.store(None);
    subject.commit();
    let key = subject.target.key(number);
    let select = by_key(subject.target.space, &key);
    let Some(shown) = subject.look(&select) else {
        return;
    };
    let seen = subject.ask(Body::Select(select), None);
    if shown.as_ref().ok() != seen.as_ref().ok() {
        let seen = format!("the view {shown:02x?}, the engine {seen:02x?}");
        broken("the view answers as the engine does", &seen);
    }
    if let Some(Ok(_)) = subject.look(&by_key(NO_SPACE, &[0x91, 0x01])) {
        broken(
            "the view refuses what makes no sense",
            "SELECT from a space that is not there was answered",
        );
    }
    let all = Select {
        limit: 10_000,
        iterator: IteratorType::All as u64,
        ..by_key(subject.target.space, &[0x90])
    };
    // Whether it has scans is its own matter, but what it begins it has to end.
    let _ = subject.look(&all);
}

/// What was committed is there for the next engine, and nothing else.
pub(super) fn the_next_engine<E: Engine>(subject: &mut Subject<'_, E>, keeps_nothing: bool) {
    let kept = subject.store(None);
    subject.commit();
    let open = subject.begin();
    let of_open = open.map(|own| subject.store(Some(own)));
    let of_turn = subject.store(None);
    subject.replace_engine();
    if !keeps_nothing && !subject.is_seen(kept, None) {
        broken(
            "an engine that is made after another one has what that has committed (an engine that \
             is not meant to: EngineCheck::that_keeps_nothing)",
            "a tuple is gone when Tx was replaced",
        );
    }
    let rule = "an engine that is made after another one has nothing that was not committed";
    if subject.is_seen(of_turn, None) {
        broken(rule, "it has a tuple of a turn that was not committed");
    }
    if of_open.is_some_and(|own| subject.is_seen(own, None)) {
        broken(rule, "it has a tuple of a transaction that was open");
    }
    subject.store(None);
    subject.commit();
}
