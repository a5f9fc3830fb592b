//! What becomes of an EXECUTE by a number that its upstream has told, and has forgotten.

use super::*;

#[test]
fn what_code_has_unprepared_is_executed_all_the_same() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    let sync = own.execute(1, 5)[0].0;
    own.reply(sync, CODE_ERROR | 211, &[0x80]);
    assert!(own.told.all.is_empty());
    let sent = own.sent();
    assert_eq!(sent.last().unwrap().2, by_text(TEXT));
    own.reply(sent.last().unwrap().0, 0, &[0x80]);
    assert_eq!(own.told.all.len(), 1);
}

#[test]
fn what_an_upstream_has_forgotten_is_told_to_who_goes_over_another_link_by_then() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    let sync = own.execute(1, 5)[0].0;
    let other = own.clients.number_link();
    own.clients.note_move(key(1, 0), other, u64::MAX);
    own.reply(sync, CODE_ERROR | 211, &[0x80]);
    assert_eq!(own.told.all.pop().unwrap().1, CODE_ERROR | 211);
    assert_eq!(own.sent(), []);
}

#[test]
fn what_came_along_to_a_link_that_has_forgotten_it_is_executed_all_the_same() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    // It waited in another link when its client came to this one.
    own.clients
        .note_move(key(1, 0), own.link.number(), u64::MAX);
    let sync = own.execute(1, 5)[0].0;
    own.reply(sync, CODE_ERROR | 211, &[0x80]);
    assert!(own.told.all.is_empty());
    assert_eq!(own.sent().last().unwrap().2, by_text(TEXT));
}
