//! By what a gateway knows its clients.

use vestibule_actors::testing::{Frame, TestServer};
use vestibule_actors::wire::auth::PasswordHash;
use vestibule_actors::{Gateway, ListedUsers, UpstreamUsers};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, pass, serving};

/// A gateway before this upstream that knows these users, all with the password 'secret'.
fn before(upstream: &FakeUpstream, names: &[&str]) -> TestServer<Gateway> {
    let hash = PasswordHash::of("secret").to_base64();
    let lines = names.iter().map(|name| format!("{name}:{hash}\n"));
    let users: ListedUsers = lines.collect::<String>().parse().unwrap();
    let upstreams = upstreams(&[("a", upstream.address)]).account(None);
    serving(upstreams.users(UpstreamUsers::Listed(users)))
}

fn told(server: &TestServer<Gateway>, user: &str, password: &str) -> Option<u16> {
    let told: Frame = server.connect().log_in(user, password);
    told.error_code()
}

#[test]
fn users_of_a_list_log_in_and_no_upstream_is_asked_for_them() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    upstream.set_password("bob", "secret");
    let server = before(&upstream, &["alice"]);
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    alice.send(&eval(1, "return 1"));
    let asked = upstream.asked();
    assert_eq!(asked.user, "alice");
    asked.reply(DONE);
    assert_eq!(alice.receive().code, 0);
    assert_eq!(told(&server, "alice", "wrong"), Some(47));
    assert_eq!(told(&server, "bob", "secret"), Some(45), "he is not listed");
    assert_eq!(upstream.lookups(), 0);
    pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn a_password_that_the_upstream_has_no_more_is_refused_in_its_words_until_it_has_it_again() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "another");
    let server = before(&upstream, &["alice"]);
    let mut alice = server.connect();
    for _ in 0..2 {
        assert_eq!(alice.log_in("alice", "secret").code, 0, "by the list");
        let refused = alice.ask(&eval(1, "return 1"));
        assert_eq!(refused.error_code(), Some(47));
        let refused = alice.ask(&eval(2, "return 1"));
        assert_eq!(
            refused.error_code(),
            Some(47),
            "what she has proven is forgotten"
        );
    }
    upstream.set_password("alice", "secret");
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &eval(3, "return 1"));
}

#[test]
fn where_one_account_is_that_of_all_nobody_else_logs_in() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let upstreams = upstreams(&[("a", upstream.address)]);
    let server = serving(upstreams.users(UpstreamUsers::One));
    let mut own = server.connect();
    assert_eq!(own.log_in("gateway", "secret").code, 0);
    own.send(&eval(1, "return 1"));
    let asked = upstream.asked();
    assert_eq!(asked.user, "gateway");
    asked.reply(DONE);
    assert_eq!(own.receive().code, 0);
    assert_eq!(told(&server, "gateway", "wrong"), Some(47));
    assert_eq!(told(&server, "alice", "secret"), Some(45));
    assert_eq!(upstream.lookups(), 0);
}
