//! Rights against a naive model, and what a check tells over the whole product of its inputs.

use proptest::prelude::*;
use vestibule_wire::request::IdOrName;

use crate::access::holdings::Facts;
use crate::access::rights::{Principal, Rights};
use crate::privileges::{Object, ObjectKind, Privileges};

const PRINCIPALS: u64 = 6;
/// Objects have these numbers; the last two are roles as well.
const OBJECTS: u64 = 6;
const BITS: u32 = 15;

#[derive(Debug, Clone)]
struct World {
    grants: Vec<(u64, Object, u32)>,
    owned: Vec<(u64, ObjectKind, u64)>,
}

fn object() -> impl Strategy<Value = Object> {
    let kind = proptest::sample::select(ObjectKind::ALL.to_vec());
    (kind, proptest::option::weighted(0.8, 0..OBJECTS))
}

fn world() -> impl Strategy<Value = World> {
    // Roles are granted to everybody, by themselves and beside other rights.
    let role = (Just(ObjectKind::Role), (0..PRINCIPALS).prop_map(Some));
    let any = (0..PRINCIPALS, object(), 0..1u32 << BITS);
    let membership = (0..PRINCIPALS, role, Just(Privileges::EXECUTE.0));
    let grants = prop::collection::vec(prop_oneof![any, membership], 0..14);
    let kind = proptest::sample::select(ObjectKind::ALL[1..].to_vec());
    let owned = prop::collection::vec((0..PRINCIPALS, kind, 0..OBJECTS), 0..4);
    (grants, owned).prop_map(|(grants, owned)| World { grants, owned })
}

impl World {
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for (grantee, object, bits) in &self.grants {
            add(&mut facts, *grantee, *object, Privileges(*bits));
        }
        for (owner, kind, id) in &self.owned {
            facts.set_owned(*owner, (*kind, Some(*id)), true);
        }
        facts
    }

    /// Whether one right on one object follows from the grants, in at most that number of steps
    /// over roles.
    fn follows(&self, who: u64, kind: ObjectKind, id: u64, bit: Privileges, steps: u64) -> bool {
        self.grants
            .iter()
            .filter(|(grantee, ..)| *grantee == who)
            .any(|(_, (granted, on), bits)| {
                let is_single = *granted == kind && *on == Some(id);
                let covers = *granted == ObjectKind::Universe
                    || (*granted == kind && on.is_none())
                    // To be here at all is not granted on single objects.
                    || (is_single && bit != Privileges::USAGE);
                let has = covers && bits & bit.0 != 0;
                let role = on
                    .filter(|_| *granted == ObjectKind::Role && bits & Privileges::EXECUTE.0 != 0);
                has || role
                    .is_some_and(|role| steps > 0 && self.follows(role, kind, id, bit, steps - 1))
            })
    }

    fn owns(&self, who: u64, kind: ObjectKind, id: u64, bit: Privileges) -> bool {
        let excluded = [Privileges::CREATE, Privileges::SESSION, Privileges::USAGE];
        self.owned.contains(&(who, kind, id)) && !excluded.contains(&bit)
    }
}

/// Grants something beside what is granted already.
fn add(facts: &mut Facts, grantee: u64, object: Object, privileges: Privileges) {
    let held = facts.of(grantee).map(|held| held.on(object).granted);
    facts.set_grant(grantee, object, held.unwrap_or_default() | privileges);
}

fn rights(facts: &Facts, who: u64) -> Rights {
    let principal = Principal {
        id: who,
        name: "u".into(),
        is_role: false,
        generation: 0,
    };
    Rights::of(&principal, facts)
}

proptest! {
    #[test]
    fn effective_rights_are_those_that_follow_from_the_grants(world in world()) {
        let facts = world.facts();
        for who in 0..PRINCIPALS {
            let rights = rights(&facts, who);
            for kind in &ObjectKind::ALL[1..] {
                for (id, bit) in (0..OBJECTS).flat_map(|id| (0..BITS).map(move |bit| (id, bit))) {
                    let bit = Privileges(1 << bit);
                    let expected = world.follows(who, *kind, id, bit, PRINCIPALS)
                        || world.owns(who, *kind, id, bit);
                    prop_assert_eq!(
                        rights.on(*kind, id).contain(bit), expected,
                        "{:?} of {} on {:?} {}", bit, who, kind, id
                    );
                }
            }
        }
    }

    /// A grant never takes anything away, and a role of a role is one's own.
    #[test]
    fn more_grants_mean_no_fewer_rights(
        world in world(),
        (who, object, bits) in (0..PRINCIPALS, object(), 0..1u32 << BITS),
    ) {
        let before = world.facts();
        let mut after = world.facts();
        add(&mut after, who, object, Privileges(bits));
        for one in 0..PRINCIPALS {
            let (before, after) = (rights(&before, one), rights(&after, one));
            for kind in ObjectKind::ALL {
                for id in 0..OBJECTS {
                    prop_assert!(after.on(kind, id).contain(before.on(kind, id)));
                }
            }
        }
    }
}

#[test]
fn roles_that_have_each_other_are_no_endless_walk() {
    let mut facts = Facts::default();
    for (one, other) in [(1, 2), (2, 3), (3, 1)] {
        facts.set_grant(one, (ObjectKind::Role, Some(other)), Privileges::EXECUTE);
    }
    facts.set_grant(3, (ObjectKind::Space, Some(9)), Privileges::READ);
    assert_eq!(facts.closure(1), [1, 2, 3]);
    assert_eq!(facts.closure(3), [3, 1, 2]);
    assert!(
        rights(&facts, 1)
            .on(ObjectKind::Space, 9)
            .contain(Privileges::READ)
    );
}

/// What is told about a space that is there and about one that is not, with these rights.
fn told(universe: u32, all: u32, own: u32, needed: Privileges) -> [Result<(), (u16, String)>; 2] {
    let mut facts = Facts::default();
    facts.set_grant(7, (ObjectKind::Universe, None), Privileges(universe));
    facts.set_grant(7, (ObjectKind::Space, None), Privileges(all));
    facts.set_grant(7, (ObjectKind::Space, Some(600)), Privileges(own));
    let rights = rights(&facts, 7);
    let asked = IdOrName::Name("s");
    [Some((600, "s")), None].map(|found| {
        let told = rights.check_space(needed, asked, found);
        told.map_err(|error| (error.code().0, error.message().to_owned()))
    })
}

#[test]
fn a_check_lets_pass_exactly_what_is_granted_and_never_tells_what_exists() {
    let [usage, showing] = [Privileges::USAGE.0, Privileges::SHOWING.0];
    let bits = [0, 1, 2, 3, 4, 64, 128, showing, usage, usage | 1, usage | 3];
    for universe in bits {
        for all in bits {
            for own in bits {
                for needed in [Privileges::READ, Privileges::WRITE] {
                    let [here, gone] = told(universe, all, own, needed);
                    let everywhere = universe | all;
                    let may = everywhere & usage != 0 && (everywhere | own) & needed.0 != 0;
                    assert_eq!(
                        here.is_ok(),
                        may,
                        "{universe} {all} {own} {needed:?}: {here:?}"
                    );
                    let code = |told: &Result<(), (u16, String)>| told.clone().map_err(|own| own.0);
                    let may_know = everywhere & usage != 0 && everywhere & showing != 0;
                    let expected = if may_know { 36 } else { 42 };
                    assert_eq!(code(&gone), Err(expected), "{universe} {all} {own}");
                    if (everywhere | own) & showing == 0 {
                        assert_eq!(here, gone, "{universe} {all} {own}");
                    }
                }
            }
        }
    }
}
