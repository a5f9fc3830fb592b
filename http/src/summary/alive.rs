//! Whether the threads of the network side go on. Pure.

use vestibule_actors::monitoring::Heartbeats;
use vestibule_actors::serving::State;

use crate::limits::ALIVE_WITHIN;

/// Which thread has stood still for too long, and for how long, if one has.
pub(crate) fn stood_still(state: State, beats: &Heartbeats) -> Option<String> {
    if state == State::Stopped {
        // Its threads have ended, as they were to.
        return None;
    }
    let threads = beats.session_threads.iter().enumerate();
    let threads = threads.map(|(thread, age)| (format!("session thread {thread}"), *age));
    let mut all = threads.chain([("the System's thread".to_owned(), beats.system)]);
    let (name, age) = all.find(|(_, age)| *age > ALIVE_WITHIN)?;
    let seconds = age.as_secs_f64();
    Some(format!("{name} has stood still for {seconds:.0} s"))
}
