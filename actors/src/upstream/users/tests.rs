use std::time::Duration;

use vestibule_wire::auth::scramble;

use super::*;

const SALT: [u8; SALT_SIZE] = [9; SALT_SIZE];

/// Whom a gateway asks, or nobody.
const UPSTREAM: Option<Incarnation> = Some(Incarnation {
    upstream: 0,
    number: 1,
});
const NOBODY: Option<Incarnation> = None;

/// What becomes of a login that comes now.
fn judge(
    users: &mut Users,
    name: &str,
    password: &str,
    target: Option<Incarnation>,
    now: Instant,
) -> Judgment {
    judge_since(users, name, password, target, (now, now))
}

/// The same of one that has come at the first time, at the second.
fn judge_since(
    users: &mut Users,
    name: &str,
    password: &str,
    target: Option<Incarnation>,
    (came, now): (Instant, Instant),
) -> Judgment {
    let login = LoginAttempt {
        user: name,
        salt: &SALT,
        scramble: &scramble(password, &SALT),
        came,
    };
    users.judge(login, target, now)
}

fn question(judgment: Judgment) -> UserQuestion {
    match judgment {
        Judgment::LookUp(Lookup::Ask(question)) => question,
        other => panic!("{other:?}"),
    }
}

fn waits(judgment: &Judgment) -> bool {
    matches!(judgment, Judgment::LookUp(Lookup::Wait(_)))
}

/// Users of whom this one is known.
fn knowing(name: &str, password: &str, now: Instant) -> Users {
    let mut users = Users::new(now);
    users.keep(name, PasswordHash::of(password), now);
    users
}

#[test]
fn a_list_decides_alone_and_stays_when_an_upstream_refuses_a_key() {
    let now = Instant::now();
    let list = [("alice", PasswordHash::of("secret"))].into_iter();
    let mut users = Users::of_list(list, now);
    let later = now + 1000 * UPSTREAM_USER_FRESH;
    for target in [UPSTREAM, NOBODY] {
        let mut told = |name, password| judge(&mut users, name, password, target, later);
        assert!(matches!(told("alice", "secret"), Judgment::Accepted));
        assert!(matches!(told("alice", "wrong"), Judgment::Wrong));
        assert!(matches!(told("bob", "secret"), Judgment::Unknown));
    }
    let key = users.key("alice").unwrap();
    users.forget_key("alice", &key);
    assert!(users.key("alice").is_none(), "it is of no use upstream");
    let again = judge(&mut users, "alice", "secret", UPSTREAM, later);
    assert!(matches!(again, Judgment::Accepted));
}

#[test]
fn by_another_list_keys_stay_of_those_whose_hash_is_the_same() {
    let now = Instant::now();
    let of = |list: &[(&'static str, &str)]| {
        let hashes = list.iter();
        Users::of_list(
            hashes.map(|(name, password)| (*name, PasswordHash::of(password))),
            now,
        )
    };
    let mut users = of(&[("alice", "secret"), ("bob", "secret"), ("carol", "secret")]);
    for name in ["alice", "bob", "carol"] {
        let told = judge(&mut users, name, "secret", NOBODY, now);
        assert!(matches!(told, Judgment::Accepted));
    }
    users.become_as(of(&[
        ("alice", "secret"),
        ("bob", "new"),
        ("dave", "secret"),
    ]));
    let known = ["alice", "bob", "carol", "dave"].map(|name| users.key(name).is_some());
    assert_eq!(known, [true, false, false, false]);
    let mut told = |name, password| judge(&mut users, name, password, NOBODY, now);
    assert!(matches!(told("bob", "secret"), Judgment::Wrong));
    assert!(matches!(told("bob", "new"), Judgment::Accepted));
    assert!(matches!(told("carol", "secret"), Judgment::Unknown));
    assert!(matches!(told("dave", "secret"), Judgment::Accepted));
    // Where they are asked for, now or as before.
    for round in 1..3 {
        users.become_as(Users::new(now));
        assert!(users.key("alice").is_some());
        let later = now + round * UPSTREAM_USER_FRESH;
        question(judge(&mut users, "alice", "secret", UPSTREAM, later));
    }
}

#[test]
fn an_answer_to_what_was_asked_before_a_list_came_changes_nothing_of_it() {
    let now = Instant::now();
    let mut users = Users::new(now);
    let later = now + Duration::from_secs(1);
    let [of_bob, of_alice] =
        ["bob", "alice"].map(|name| question(judge(&mut users, name, "x", UPSTREAM, later)));
    let list = [("alice", PasswordHash::of("secret"))].into_iter();
    users.become_as(Users::of_list(list, now));
    users.learn(of_bob, Some(PasswordHash::of("secret")));
    users.learn(of_alice, None);
    let mut told = |name| judge(&mut users, name, "secret", UPSTREAM, later);
    assert!(matches!(told("bob"), Judgment::Unknown));
    assert!(matches!(told("alice"), Judgment::Accepted));
}

#[test]
fn a_fresh_answer_decides_and_an_older_one_is_asked_for_again() {
    let now = Instant::now();
    let mut users = Users::new(now);
    let login = |users: &mut Users, at| judge(users, "alice", "secret", UPSTREAM, at);
    let asked = question(login(&mut users, now));
    users.learn(asked, Some(PasswordHash::of("secret")));
    assert!(users.key("alice").is_none(), "nobody has proven anything");
    assert!(matches!(login(&mut users, now), Judgment::Accepted));
    let key = users.key("alice").expect("it was proven");
    assert_eq!(*key, PasswordKey::of("secret"));
    question(login(&mut users, now + UPSTREAM_USER_FRESH));
}

#[test]
fn while_nobody_can_be_asked_what_was_known_decides() {
    let now = Instant::now();
    let mut users = knowing("alice", "secret", now);
    let later = now + 1000 * UPSTREAM_USER_FRESH;
    let mut login = |name, password| judge(&mut users, name, password, NOBODY, later);
    assert!(matches!(login("alice", "secret"), Judgment::Accepted));
    assert!(matches!(login("alice", "wrong"), Judgment::Wrong));
    assert!(matches!(login("bob", "secret"), Judgment::Unavailable));
}

#[test]
fn a_changed_password_makes_the_key_that_was_proven_void() {
    let now = Instant::now();
    let mut users = knowing("alice", "secret", now);
    judge(&mut users, "alice", "secret", UPSTREAM, now);
    // Right after the change: the answer that is fresh does not know of it.
    let later = now + Duration::from_millis(1);
    let asked = question(judge(&mut users, "alice", "new", UPSTREAM, later));
    users.learn(asked, Some(PasswordHash::of("new")));
    assert!(users.key("alice").is_none());
    let mut told = |password| judge(&mut users, "alice", password, UPSTREAM, later);
    assert!(matches!(told("secret"), Judgment::Wrong));
    assert!(matches!(told("new"), Judgment::Accepted));
    let later = later + UPSTREAM_USER_FRESH;
    let asked = question(judge(&mut users, "alice", "new", UPSTREAM, later));
    users.learn(asked, None);
    let told = judge(&mut users, "alice", "new", UPSTREAM, later);
    assert!(matches!(told, Judgment::Unknown));
    assert!(users.key("alice").is_none());
}

#[test]
fn who_comes_while_a_user_is_asked_for_waits_for_that_answer() {
    let now = Instant::now();
    let mut users = knowing("alice", "secret", now);
    let later = now + UPSTREAM_USER_FRESH;
    let of_known = question(judge(&mut users, "alice", "secret", UPSTREAM, later));
    let of_stranger = question(judge(&mut users, "bob", "secret", UPSTREAM, later));
    for (name, password) in [("alice", "secret"), ("alice", "wrong"), ("bob", "secret")] {
        for after in 0..3 {
            let at = later + after * UPSTREAM_USER_FRESH;
            let told = judge(&mut users, name, password, UPSTREAM, at);
            assert!(waits(&told), "{name}: {told:?}");
        }
    }
    users.learn(of_known, Some(PasswordHash::of("secret")));
    users.learn(of_stranger, None);
    let told = ["alice", "bob"].map(|own| judge(&mut users, own, "secret", UPSTREAM, later));
    assert!(matches!(told, [Judgment::Accepted, Judgment::Unknown]));
}

#[test]
fn many_logins_cause_a_question_in_a_second_and_one_more_for_a_new_password() {
    const CHANGED_AT: u32 = 2_500;
    let begin = Instant::now();
    let (mut users, mut asked, mut on_its_way) = (Users::new(begin), 0, None);
    let password = |at| if at < CHANGED_AT { "secret" } else { "new" };
    // One each millisecond, and each answer comes 20 ms later.
    for at in 0..5_000 {
        let now = begin + Duration::from_millis(at.into());
        let is_due = |own: &mut (u32, UserQuestion)| own.0 + 20 == at;
        if let Some((since, question)) = on_its_way.take_if(is_due) {
            users.learn(question, Some(PasswordHash::of(password(since))));
        }
        match judge(&mut users, "alice", password(at), UPSTREAM, now) {
            Judgment::LookUp(Lookup::Ask(question)) => {
                assert!(on_its_way.replace((at, question)).is_none());
                asked += 1;
            }
            Judgment::Accepted | Judgment::LookUp(Lookup::Wait(_)) => {}
            other => panic!("{other:?} at {at}"),
        }
    }
    assert_eq!(asked, 5 + 1);
}

#[test]
fn whoever_is_wrong_by_what_was_asked_before_they_came_is_asked_for_again() {
    let now = Instant::now();
    let later = now + Duration::from_millis(150);
    for (before, after) in [
        (None, Some("new")),
        (Some("old"), Some("new")),
        (None, None),
    ] {
        let hash = |own: Option<&str>| own.map(PasswordHash::of);
        let mut users = Users::new(now);
        let asked = question(judge(&mut users, "alice", "x", UPSTREAM, now));
        let late = |users: &mut Users| judge(users, "alice", "new", UPSTREAM, later);
        assert!(waits(&late(&mut users)));
        users.learn(asked, hash(before));
        let told = judge_since(&mut users, "alice", "x", UPSTREAM, (now, later));
        assert!(matches!(told, Judgment::Wrong | Judgment::Unknown));
        let asked = question(late(&mut users));
        users.learn(asked, hash(after));
        let is_right = matches!(late(&mut users), Judgment::Accepted);
        assert_eq!(is_right, after.is_some());
    }
}

#[test]
fn an_answer_that_comes_after_a_newer_one_changes_nothing() {
    let now = Instant::now();
    let later = now + UPSTREAM_USER_FRESH;
    let mut users = knowing("alice", "secret", now - UPSTREAM_USER_FRESH);
    let other = UPSTREAM.map(|own| Incarnation { upstream: 1, ..own });
    let old = question(judge(&mut users, "alice", "new", UPSTREAM, now));
    let new = question(judge(&mut users, "alice", "new", other, later));
    users.learn(new, Some(PasswordHash::of("new")));
    users.learn(old, None);
    let told = judge(&mut users, "alice", "new", other, later);
    assert!(matches!(told, Judgment::Accepted));
}

#[test]
fn where_an_answer_has_failed_to_come_what_is_known_decides_for_a_while() {
    let now = Instant::now();
    let mut users = knowing("alice", "secret", now);
    let mut at = now + UPSTREAM_USER_FRESH;
    for _ in 0..3 {
        drop(question(judge(&mut users, "alice", "secret", UPSTREAM, at)));
        at += UPSTREAM_USER_FRESH / 2;
        let told = judge(&mut users, "alice", "secret", UPSTREAM, at);
        assert!(matches!(told, Judgment::Accepted));
        at += UPSTREAM_USER_FRESH / 2;
    }
}

#[test]
fn a_key_that_is_refused_goes_and_a_newer_one_stays() {
    let now = Instant::now();
    let mut users = Users::new(now);
    let prove = |users: &mut Users, password| {
        users.keep("alice", PasswordHash::of(password), now);
        judge(users, "alice", password, NOBODY, now);
        users.key("alice").expect("it was proven")
    };
    let old = prove(&mut users, "secret");
    let new = prove(&mut users, "new");
    users.forget_key("alice", &old);
    assert!(users.key("alice").is_some(), "that was the one before");
    users.forget_key("alice", &new);
    assert!(users.key("alice").is_none());
}

#[test]
fn no_more_users_are_known_than_there_may_be() {
    let now = Instant::now();
    let mut users = Users::new(now);
    for count in 0..UPSTREAM_USERS_MAX + 2 {
        let at = now + Duration::from_millis(count as u64);
        users.keep(&count.to_string(), PasswordHash::default(), at);
    }
    assert_eq!(users.known.len(), UPSTREAM_USERS_MAX);
    assert!(!users.known.contains_key("1") && users.known.contains_key("2"));
}
