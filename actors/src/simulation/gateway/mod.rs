//! A simulation of a gateway with its links and scouts: the same seed, the same history.
//!
//! ```text
//!              the world: random choices, a hand-wound clock, what has to hold
//!        ┌──────────────┬─────────────────┬──────────────────────┬──────────────┐
//!     clients        embedder       the upstreams' operator    disconnects     time
//!        │ pipes        │ roles, a stop     │ read-only, crash, hang, start
//!        ▼              ▼                   ▼
//!     Sessions ─▶ Workers ─ links ═ pipes ═▶ models ─▶ ledger: what was done, verdicts
//!                         scouts ═ pipes ═▶    ▲ they act between, and answer late, in any order
//! ```
//!
//! Real are sessions, workers, links, scouts, the decisions where requests go, and the Supervisor.
//! In place of sockets stand pipes (`network`), in place of Tarantool a model (`model`, with its
//! `connected` peers and the `accounts` of all) that dies, hangs, starts with less than all its
//! data, loses connections in the middle of replies, says what nobody asked, changes who takes
//! changes and executes what is said twice twice; in some worlds they elect who does (`elections`).
//!
//! In some worlds clients log in, and change their passwords; in some each has connections upstream
//! of its own, and in some they set something, which gives them one, and new ones are asked for.
//! In some, who asks for much goes over a second one of all for a while.
//! Clients kill each other's requests, send whole transactions without waiting, and ask
//! for much and do not read it. The embedder drains upstreams and restores them. In some worlds
//! replicas answer SELECTs, and have what was done a while later; and in some an upstream is
//! preferred, or given up when it is silent, who is in doubt is closed, or there is little to have
//! under way.
//!
//! What has to hold, in every world and after every step (`fates`, `checks`, `drains`, and the
//! ledger and the client of the simulation around this one):
//!
//! 1. a request is refused, executed, or of unknown outcome, never two of them; nothing is executed
//!    twice; a part of a transaction is not done without its COMMIT;
//! 2. what is acknowledged is done;
//! 3. a reply is that of its request, by its sync and by its content;
//! 4. nothing is done by an upstream to which no requests went since it was sent, although it may
//!    say that it takes changes, and requests stay where they go as long as that takes some, unless
//!    another one leads a later election, which gets them then;
//! 5. writes of a connection, of one user each, come in the order in which they were sent, unless
//!    an upstream has refused some of them; a transaction that may come to its end at an upstream
//!    that is being drained does not wait for those that are held meanwhile, and where a
//!    connection goes over another one upstream, its streams may go on over the one before;
//! 6. requests are held for as long as they may be and no longer, and with a request timeout every
//!    one is answered in time, whatever upstreams do;
//! 7. an upstream has no more requests at a time than it may, and connections hold no more memory;
//! 8. callers of transitions are answered in time, and a stop ends in time;
//! 9. when upstreams are well again, requests go to the one that takes changes, every request has
//!    its answer, and no transaction of a client that is gone is open;
//! 10. in the end no connection, request, slot or byte is left, also if a stop meets clients in the
//!     middle of what they do;
//! 11. a write comes upstream as the user who has sent it, and if clients have connections of their
//!     own, over nobody else's;
//! 12. an upstream that is told to be drained has no connection but its scout's, and no request
//!     goes there until somebody wants it to be used; what was open there may end before;
//! 13. of a transaction whose BEGIN is taken back no statement is done;
//! 14. what a client has set counts for all that it sends outside of streams from then on, and for
//!     nobody else;
//! 15. a SELECT is answered where requests go, unless replicas may answer those of its connection,
//!     and of no earlier state than its client has seen, but by who takes no changes and is asked
//!     because nobody in use does (`reads`);
//! 16. what operators have set counts, in the worlds in which they do (`options`).
//!
//! `VESTIBULE_SIMULATION_WORLDS` sets how many there are, `VESTIBULE_SIMULATION_START` with which
//! seeds. A world that fails tells its seed: `VESTIBULE_SIMULATION_SEED` runs that world alone, and
//! `VESTIBULE_SIMULATION_TRACE=1` writes down what happens in it.

mod accounts;
mod bodies;
mod checks;
mod connected;
mod drains;
mod elections;
mod fates;
mod model;
mod network;
mod options;
mod reads;
mod stats;
mod storm;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use self::options::Options;
use self::stats::GatewayStats;
use self::storm::Mix;
use super::client::Told;
use super::random::Random;
use super::{lockstep, number};

/// Worlds that are simulated if nothing else is said.
const WORLDS: usize = 200;

/// Worlds in which BEGINs are killed more often.
const KILLED_BEGINS_WORLDS: u64 = 12;

/// Worlds at a time.
const THREADS: usize = 2;

fn run(seed: u64) -> GatewayStats {
    run_with(seed, Mix::Nothing, Options::default())
}

/// As it is in the worlds that are many.
fn run_any(seed: u64) -> GatewayStats {
    run_with(seed, Mix::of(seed), Options::of(seed))
}

/// As it was in these when none had options.
fn run_plain(seed: u64) -> GatewayStats {
    run_with(seed, Mix::of(seed), Options::default())
}

fn run_with(seed: u64, mix: Mix, options: Options) -> GatewayStats {
    let system = actix_rt::System::with_tokio_rt(lockstep::paused_runtime);
    let storm = || system.block_on(storm::storm(seed, mix, options));
    catch_unwind(AssertUnwindSafe(storm)).unwrap_or_else(|panic| {
        eprintln!("the same again: VESTIBULE_SIMULATION_SEED={seed}, of {mix:?}, {options:?}");
        resume_unwind(panic)
    })
}

fn run_many(start: u64, worlds: usize) -> GatewayStats {
    let state = Mutex::new((Random::new(start), 0, GatewayStats::default()));
    let lock = || state.lock().expect("no thread panics while it holds it");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = {
                        let (random, begun, _) = &mut *lock();
                        if *begun == worlds {
                            return;
                        }
                        *begun += 1;
                        random.below(u64::MAX - 16)
                    };
                    let stats = run_any(seed);
                    lock().2.add(&stats);
                }
            });
        }
    });
    state.into_inner().expect("no thread panicked").2
}

#[test]
fn what_a_gateway_promises_holds_in_every_world() {
    if let Some(seed) = number("VESTIBULE_SIMULATION_SEED") {
        println!("{:?}", run_any(seed));
        return;
    }
    let start = number("VESTIBULE_SIMULATION_START").unwrap_or(1);
    let wanted = number("VESTIBULE_SIMULATION_WORLDS");
    let total = run_many(start, wanted.map_or(WORLDS, |own| own as usize));
    println!("{total:#?}");
    // Nothing is promised by worlds in which nothing happens.
    total.check_variety();
}

#[test]
fn the_same_seed_gives_the_same_world_of_a_gateway() {
    for seed in [3, 5] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first, second);
        assert!(first.committed > 0);
    }
    assert_ne!(run(3).fingerprint, run(5).fingerprint);
}

/// A large request was on its way to an upstream that hung, small ones behind it, and more over
/// another link when the scout had come back: these were ahead.
#[test]
fn what_an_upstream_that_hung_was_not_sent_is_not_sent_behind_what_comes_later() {
    assert_eq!(run(16_411_626_990_505_134_783).worlds, 1);
}

/// The same, where the upstream was well, and requests had gone to another one for a moment.
#[test]
fn what_a_socket_has_not_taken_is_not_sent_behind_what_comes_when_requests_come_back() {
    assert_eq!(run(16_152_496_105_237_894_315).worlds, 1);
}

/// What upstreams had on their way when memory became scarce came beyond its bound.
#[test]
fn replies_beyond_the_bound_of_memory_are_those_that_were_on_their_way() {
    for seed in [
        15_784_491_248_478_061_358,
        5_966_027_983_183_876_115,
        10_647_637_390_212_041_492,
        5_947_638_445_597_189_466,
        5_379_775_657_753_083_857,
    ] {
        assert_eq!(run(seed).worlds, 1);
    }
}

/// The statements of a transaction went on at the only upstream, which was being drained, ahead of
/// writes that were held until the drain was over.
#[test]
fn a_transaction_comes_to_its_end_at_a_drained_upstream_ahead_of_what_is_held() {
    assert_eq!(run(3_743_513_054_957_355_236).worlds, 1);
}

/// The same, where the other transaction that came behind it had the same number upstream, over
/// another connection.
#[test]
fn a_transaction_at_a_drained_upstream_is_ahead_of_one_of_its_client_that_is_held() {
    assert_eq!(run(38_310_762_118_753_438).worlds, 1);
}

/// A drain without grace ended a transaction. Statements of it were held, and its COMMIT, which
/// came later, was answered ahead of them: they were done by the next upstream, each alone.
#[test]
fn what_is_held_of_a_transaction_that_a_drain_has_ended_is_never_done_alone() {
    assert_eq!(run(11_944_418_997_989_490_709).worlds, 1);
}

/// In other worlds few kills meet a BEGIN that waits with more behind it.
#[test]
fn nothing_is_done_of_transactions_whose_begin_is_killed() {
    let mut total = GatewayStats::default();
    for seed in 1..=KILLED_BEGINS_WORLDS {
        total.add(&run_with(seed, Mix::KilledBegins, Options::default()));
    }
    let killed = total.told.get(&Told::Refused(32));
    assert!(killed.is_some_and(|own| *own > total.worlds), "{killed:?}");
}

/// BEGINs that sessions held were killed; what they held behind them was done alone.
#[test]
fn nothing_is_done_of_transactions_whose_begin_is_killed_where_sessions_hold_it() {
    for seed in [14_419_974_215_868_869_001, 18_388_882_634_748_479_711] {
        assert_eq!(run(seed).worlds, 1);
    }
}

/// Other worlds that have failed once, and why: faults of the gateway, and of the model of it.
const FAILED_ONCE: [(u64, &str); 6] = [
    (
        3_384_119_839_845_283_406,
        "a client logged in while its BEGIN waited in a link, and the statements were done alone",
    ),
    (
        14_691_912_602_575_274_210,
        "the model: a stop left ROLLBACKs behind what a slow socket was still to take",
    ),
    (
        9_926_090_239_087_991_963,
        "the model: between two looks requests went to an upstream and came back",
    ),
    (
        6_978_593_437_936_824_816,
        "what a client had set was refused on its new link, and its requests went on without it",
    ),
    (13_213_180_019_757_398_696, "the same"),
    (
        9_308_937_187_204_955_388,
        "what was held, and set behind a login, was not set on the link of the next user",
    ),
];

#[test]
fn what_has_failed_once_holds_in_the_worlds_in_which_it_did() {
    for (seed, why) in FAILED_ONCE {
        println!("{seed}: {why}");
        assert_eq!(run_plain(seed).worlds, 1);
    }
}

/// The same, in worlds with options.
const FAILED_ONCE_WITH_OPTIONS: [(u64, &str); 5] = [
    (
        16_496_111_778_784_081_696,
        "an upstream that hung when its scout was not connected was never given up",
    ),
    (
        9_697_182_748_892_828_317,
        "what a session held was answered by whom its client had chosen since",
    ),
    (
        1_797_803_251_302_370_626,
        "the model: who had hung lacked what drained ones had, and was the only one in use",
    ),
    (
        443_191_222_045_100_309,
        "the model: bytes of a connection that was lost came of an upstream that hung",
    ),
    (
        11_156_711_216_941_560_602,
        "the model: the last sign of an upstream counts from when its scout looks",
    ),
];

#[test]
fn what_has_failed_once_holds_with_options_in_the_worlds_in_which_it_did() {
    for (seed, why) in FAILED_ONCE_WITH_OPTIONS {
        println!("{seed}: {why}");
        assert_eq!(run_any(seed).worlds, 1);
    }
}
