use super::*;

fn gateway() -> GatewayCell {
    let upstreams = vec![Upstream::new("a", "h", 1), Upstream::new("b", "h", 2)];
    GatewayCell::new(
        Upstreams::default().upstreams(upstreams),
        1,
        1,
        Instant::now(),
    )
}

#[test]
fn the_target_and_its_run_are_one_word() {
    let gateway = gateway();
    assert_eq!(gateway.destination(), Destination::Nowhere);
    for (upstream, number) in [(0, 0), (1, 7), (31, (1 << RUN_BITS) - 1)] {
        let target = Incarnation { upstream, number };
        gateway.set_destination(Destination::To(target));
        assert_eq!(gateway.target(), Some(target));
    }
    for destination in [Destination::Held, Destination::Nowhere] {
        gateway.set_destination(destination);
        assert_eq!(gateway.destination(), destination);
        assert_eq!(gateway.target(), None);
    }
}

#[test]
fn a_run_that_has_vanished_has_so_with_those_before_it_and_those_who_follow_are_told() {
    let gateway = gateway();
    let run = |upstream, number| Incarnation { upstream, number };
    let mut destinations = gateway.destinations();
    assert!(!gateway.has_vanished(run(1, 1)));
    gateway.vanish(run(1, 2));
    assert!(destinations.has_changed().unwrap());
    destinations.mark_unchanged();
    gateway.vanish(run(1, 1));
    let has = [run(1, 1), run(1, 2), run(1, 3), run(0, 1)].map(|own| gateway.has_vanished(own));
    assert_eq!(has, [true, true, false, false]);
}

#[test]
fn refusals_are_those_of_the_version() {
    let gateway = gateway();
    let told = |is_known| {
        let error = gateway.wrong_login("x", is_known);
        (error.code().0, error.message().to_owned())
    };
    assert_eq!(told(false), (45, "User 'x' is not found".to_owned()));
    let wrong = "Incorrect password supplied for user 'x'";
    assert_eq!(told(true), (47, wrong.to_owned()));
    gateway.set_version((2, 11, 1));
    assert_eq!(told(false), told(true));
    assert_eq!(told(true).0, 47);
}

#[test]
fn clients_may_use_what_they_are_greeted_with_and_no_upstream_lacks() {
    let told = |told: Option<(u32, u32, u32)>, known: Option<(u32, u32, u32)>| {
        let upstreams = vec![Upstream::new("a", "h", 1)];
        let config = Upstreams::default().upstreams(upstreams);
        let gateway = GatewayCell::new(config.server_version(told), 1, 1, Instant::now());
        known.into_iter().for_each(|own| gateway.set_version(own));
        (gateway.version(), gateway.ability())
    };
    let (old, new) = ((2, 6, 0), (3, 0, 117));
    assert_eq!(told(None, None), (VERSION_UNKNOWN, VERSION_UNKNOWN));
    assert_eq!(told(None, Some(new)), (new, new));
    assert_eq!(told(Some(new), None), (new, new));
    assert_eq!(told(Some(new), Some(old)), (new, old));
    assert_eq!(told(Some(old), Some(new)), (old, old));
}
