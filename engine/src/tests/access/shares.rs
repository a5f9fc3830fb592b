//! What open transactions take: nobody has what all share.

use std::net::SocketAddr;

use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::request::Begin;

use super::rig;
use crate::limits::{
    TRANSACTIONS_BYTES_MAX, TRANSACTIONS_BYTES_PER_ADDRESS_MAX,
    TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX, TRANSACTIONS_BYTES_PER_USER_MAX,
    TRANSACTIONS_BYTES_RESERVE,
};
use crate::tests::Rig;

/// A row, a little less than a tuple may be.
const ROW_BYTES: usize = (1 << 20) - 1024;

const HERE: [u8; 4] = [10, 0, 0, 1];
const THERE: [u8; 4] = [10, 0, 0, 2];
const ELSEWHERE: [u8; 4] = [10, 0, 0, 3];

impl Rig {
    /// Opens a transaction and writes one row in it.
    fn write_one(&mut self, id: u64) -> String {
        let options = Begin {
            timeout: None,
            isolation: 0,
        };
        let row = "x".repeat(ROW_BYTES);
        self.inside = Some(TransactionId(id));
        let begun = self.engine.begin(TransactionId(id), &options, &self.caller);
        begun.unwrap();
        let mut told = self.replace(&(id, &row));
        self.inside = None;
        told.truncate(1);
        told
    }

    /// Opens transactions that write one row each until one is refused: what they hold.
    fn fill_transactions(&mut self, user: &str, address: [u8; 4], next: &mut u64) -> usize {
        self.log_in(user);
        self.caller.peer = SocketAddr::from((address, 3301)).into();
        self.caller.is_administrator = user == "admin";
        for rows in 0.. {
            *next += 1;
            if self.write_one(*next) != "[" {
                return rows * ROW_BYTES;
            }
        }
        unreachable!("there is a bound")
    }
}

#[test]
fn no_user_and_no_address_takes_the_memory_of_all_open_transactions() {
    let mut rig = rig();
    rig.admin("box.schema.user.create", &("carol",));
    for user in ["bob", "carol"] {
        rig.grant(&(user, "read,write", "space", "s"));
    }
    let mut next = 1000;
    let mut fills = |rig: &mut Rig, user, address, max: usize| {
        let held = rig.fill_transactions(user, address, &mut next);
        let nearly = max.saturating_sub(2 * ROW_BYTES)..=max + 2 * ROW_BYTES;
        assert!(nearly.contains(&held), "{user} holds {held}, not {max}");
    };
    let (one, user) = (
        TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX,
        TRANSACTIONS_BYTES_PER_USER_MAX,
    );
    fills(&mut rig, "bob", HERE, one);
    fills(&mut rig, "bob", THERE, user - one);
    fills(&mut rig, "bob", ELSEWHERE, 0);
    let address = TRANSACTIONS_BYTES_PER_ADDRESS_MAX;
    fills(&mut rig, "carol", HERE, address - one);
    let rest = TRANSACTIONS_BYTES_MAX - TRANSACTIONS_BYTES_RESERVE - user - (address - one);
    fills(&mut rig, "carol", ELSEWHERE, rest);
    // What is kept for administrators is there, from wherever they come.
    fills(&mut rig, "admin", HERE, TRANSACTIONS_BYTES_RESERVE);
    // One who ends what he has goes on.
    rig.log_in("bob");
    rig.caller.peer = SocketAddr::from((HERE, 3301)).into();
    assert_eq!(rig.write_one(900), "2");
    for id in 1001..1041 {
        rig.engine.rollback_transaction(TransactionId(id));
    }
    assert_eq!(rig.write_one(901), "[");
}
