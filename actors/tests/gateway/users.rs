//! By what a gateway knows its clients.

use std::time::{Duration, Instant};

use vestibule_actors::limits::AUTHENTICATOR_TIME_DEFAULT;
use vestibule_actors::testing::{Frame, Peer, TestServer};
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

/// Clients that guess, all at a time.
const GUESSERS: usize = 1000;

/// How often each does.
const GUESSES: u32 = 10;

/// Questions in a second that strangers may cause, and one for each of two names that are known.
const QUESTIONS_PER_S: u64 = 10 + 2;

/// For how long an answer counts.
const FRESH: Duration = Duration::from_secs(1);

/// A gateway that does not take a busy machine for a silent upstream.
fn patient(upstream: &FakeUpstream) -> TestServer<Gateway> {
    let upstreams = upstreams(&[("a", upstream.address)]);
    serving(upstreams.silent_after(Duration::from_secs(60)))
}

///
#[test]
fn ten_thousand_wrong_logins_cause_few_questions_and_keep_nobody_from_a_new_password() {
    let upstream = FakeUpstream::start();
    let names = ["alice", "carol"];
    for own in names {
        upstream.set_password(own, "first");
    }
    let server = patient(&upstream);
    assert_eq!(told(&server, "carol", "first"), None);
    let mut guessers: Vec<_> = (0..GUESSERS).map(|_| server.connect()).collect();
    let (before, began) = (upstream.lookups(), Instant::now());
    let mut own = 0;
    for round in 0..GUESSES {
        for (at, peer) in guessers.iter_mut().enumerate() {
            // Half of them have a name each that nobody has.
            let name = match at % 4 {
                own @ 0..2 => names[own].to_owned(),
                _ => format!("nobody{at}"),
            };
            let guess = peer.log_in_request(u64::from(round), &name, "guessed");
            peer.send(&guess);
        }
        if round == GUESSES / 2 {
            upstream.set_password("carol", "second");
            // An answer that was on its way knows nothing of it.
            while told(&server, "carol", "second").is_some() {
                own += 1;
                assert!(own < 100, "she waits for one answer");
            }
            assert_ne!(told(&server, "carol", "first"), None);
        }
        // Of those who wait for their turns, some have waited for too long then.
        server.wind(AUTHENTICATOR_TIME_DEFAULT);
        for peer in &mut guessers {
            let told = peer.receive().error_code();
            assert!([45, 47, 78].map(Some).contains(&told), "{told:?}");
        }
    }
    upstream.drop_user("carol");
    server.wind(FRESH);
    assert_eq!(told(&server, "carol", "second"), Some(45));
    let passed = began.elapsed() + GUESSES * AUTHENTICATOR_TIME_DEFAULT + FRESH;
    let (asked, seconds) = (upstream.lookups() - before, passed.as_secs() + 1);
    let most = (seconds + 1) * QUESTIONS_PER_S + own;
    assert!(asked <= most, "{asked} questions in {seconds} s, of {most}");
    assert!(most < GUESSERS as u64 * u64::from(GUESSES) / 2);
}

/// Users of whom many log in at a time.
const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// Clients that log in as them.
const PEERS: usize = 100;

/// Logins of all of them at once, with a password that is right.
fn log_in_all(peers: &mut [Peer], login: u64, password: &str) {
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.send(&peer.log_in_request(login, NAMES[at % NAMES.len()], password));
    }
    for peer in peers {
        assert_eq!(peer.receive().code, 0);
    }
}

/// GW-09.
#[test]
fn ten_thousand_logins_of_three_users_cause_three_questions_in_a_second_at_most() {
    const LOGINS: u64 = 100;
    let upstream = FakeUpstream::start();
    for name in NAMES {
        upstream.set_password(name, "secret");
    }
    let server = patient(&upstream);
    let mut peers: Vec<_> = (0..PEERS).map(|_| server.connect()).collect();
    // All turns of strangers are there.
    server.wind(FRESH);
    let began = Instant::now();
    for login in 0..LOGINS {
        log_in_all(&mut peers, login, "secret");
    }
    let (asked, seconds) = (upstream.lookups(), began.elapsed().as_secs());
    // Each at the start, and when an answer does not count any more, a second after its question.
    let most = (seconds + 1) * NAMES.len() as u64;
    assert!(asked <= most, "{asked} questions in {seconds} s");
}

/// GW-09.
#[test]
fn a_password_that_is_changed_under_many_logins_causes_one_question_and_counts_at_once() {
    let upstream = FakeUpstream::start();
    let server = patient(&upstream);
    let mut peers: Vec<_> = (0..PEERS).map(|_| server.connect()).collect();
    let began = Instant::now();
    for (login, password) in (0..).zip(["first", "first", "second"]) {
        for name in NAMES {
            upstream.set_password(name, password);
        }
        log_in_all(&mut peers, login, password);
        if login == 0 {
            // What is answered then is fresh, and all turns of strangers are there.
            server.wind(FRESH);
        }
    }
    let passed = began.elapsed() + FRESH;
    let (asked, seconds) = (upstream.lookups(), passed.as_secs());
    // At the start, after each second, and for the change.
    let most = (1 + seconds + 1) * NAMES.len() as u64;
    assert!(asked <= most, "{asked} questions in {seconds} s");
}
